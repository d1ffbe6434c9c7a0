"""What counts as a picture or a label, and how it is written into a data set."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_BEGINNINGS = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"GIF8": "gif",
    b"BM": "bmp",
}


def encode_image(image: Any, where: str) -> tuple[bytes, str]:
    """Returns a picture as the bytes of a file, without loss, and their suffix.

    Args:
        image: An encoded file (JPEG, PNG, GIF, BMP or WebP) as bytes, which stay as
            they are; pixels, uint8 `(height, width)` or `(height, width, channels)`
            with 1, 3 (RGB) or 4 (RGBA) channels; or an image of Pillow.
        where: Which image it is, for the error.

    Raises:
        ValueError: If it is none of them.
    """
    if isinstance(image, bytes | bytearray | memoryview | np.bytes_):
        content = bytes(image)
        return content, _suffix_of(content, where)
    if isinstance(image, Image.Image):
        if image.mode not in ("L", "RGB", "RGBA", "P", "1"):
            raise ValueError(
                f"{where}: found a Pillow image of mode {image.mode}; expected L, RGB, "
                "RGBA or P. Use image.convert('RGB')."
            )
        return _as_png(image), "png"
    pixels = np.asarray(image)
    _check_pixels(pixels, where)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return _as_png(Image.fromarray(np.ascontiguousarray(pixels))), "png"


def name_of(label: Any, where: str) -> str:
    """Returns the name of a class that is given as a number or as text.

    Args:
        label: A whole number of 0 or more, or text that is not empty.
        where: Which image it belongs to, for the error.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(label, np.ndarray | np.generic) and label.size == 1:
        label = label.item()
    if isinstance(label, bytes):
        label = label.decode("utf-8")
    if isinstance(label, int) and not isinstance(label, bool):
        if label >= 0:
            return str(label)
        raise ValueError(
            f"{where}: found label {label}; expected 0 or more. Many data sets mark "
            "images without a label by −1: leave those out."
        )
    if isinstance(label, str) and label.strip():
        return label.strip()
    raise ValueError(
        f"{where}: found label {label!r} ({type(label).__name__}); expected a whole "
        "number or a name. Convert labels with .astype(int), and one-hot labels with "
        ".argmax(-1)."
    )


def _suffix_of(content: bytes, where: str) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    for beginning, suffix in _BEGINNINGS.items():
        if content.startswith(beginning):
            return suffix
    raise ValueError(
        f"{where}: found {len(content)} bytes that begin with {content[:8]!r}; "
        "expected a JPEG, PNG, GIF, BMP or WebP file. Convert it, or give the pixels "
        "as an array."
    )


def _check_pixels(pixels: npt.NDArray[Any], where: str) -> None:
    found = f"{where}: found an array of {pixels.dtype} with shape {pixels.shape}"
    expected = (
        "expected uint8 from 0 to 255, (height, width) or (height, width, channels) "
        "with 1, 3 or 4 channels"
    )
    if pixels.dtype != np.uint8:
        remedy = "Convert it with .astype('uint8')."
        if pixels.dtype.kind == "f":
            remedy = (
                "If it runs from 0 to 1, use (255 * images).round().astype('uint8'); "
                "if from 0 to 255, images.round().astype('uint8')."
            )
        elif pixels.dtype == np.uint16:
            remedy = "Use (images >> 8).astype('uint8')."
        raise ValueError(f"{found}; {expected}. {remedy}")
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.ndim not in (2, 3) or channels not in _MODES or not pixels.size:
        remedy = "Give one image at a time, channels last."
        if pixels.ndim == 3 and pixels.shape[0] in _MODES:
            remedy = "Move the channels last with images.transpose(1, 2, 0)."
        raise ValueError(f"{found}; {expected}. {remedy}")


def _as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # Half the time of the usual 6.
    return buffer.getvalue()
