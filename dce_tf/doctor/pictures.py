"""What image files say without a model: content, hash, light, sharpness."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dce_tf.base.errors import UsageError
from dce_tf.base.program import tell_to_install
from dce_tf.base.threads import map_ahead
from dce_tf.images.pillow import UNREADABLE, open_image, read_upright
from dce_tf.images.scan import own_pixel_limit

MOST_EMPTY = 0.98
"""A picture of which a larger share is of one colour is empty."""

_SIDE = 256  # No more is decoded of a JPEG than a picture of such a side needs.
_LOOKED_AT = 128  # Side at which light and sharpness are measured.
_NEAR_MIDDLE = 8.0  # Grey levels: so near to the median is no detail.
_AHEAD = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """What the files of many images say; a row is an image.

    Attributes:
        problems: Why a file cannot be read, by row.
        contents: Digest of each file, uint64 `(num_images, 2)`.
        hashes: Perceptual hash, uint64 `(num_images,)`: pictures that look alike differ
            in few bits.
        sides: Width and height, int32 `(num_images, 2)`.
        light: How bright the brightest tenth is, float32 `(num_images,)`, 0 to 1.
        sharpness: Root of the variance of the Laplacian, in grey levels, float32
            `(num_images,)`.
        emptiness: Share of the pixels near the median, float32 `(num_images,)`.
    """

    problems: dict[int, str]
    contents: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint64]
    sides: npt.NDArray[np.int32]
    light: npt.NDArray[np.float32]
    sharpness: npt.NDArray[np.float32]
    emptiness: npt.NDArray[np.float32]

    @property
    def readable(self) -> npt.NDArray[np.bool_]:
        """Whether each file can be read, bool `(num_images,)`."""
        good = np.ones(len(self.hashes), bool)
        good[list(self.problems)] = False
        return good


def look_at(
    paths: Sequence[str],
    *,
    max_pixels: int,
    num_workers: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Pictures:
    """Reads every image file once.

    Args:
        paths: The files.
        max_pixels: Images of more pixels are not decoded.
        num_workers: Threads; 0 takes one for each processor.
        on_progress: Told after each image how many are done.

    Raises:
        UsageError: If there is no library of perceptual hashes.
    """
    perceptual_hash = _perceptual_hash()
    count = len(paths)
    pictures = Pictures(
        {},
        np.zeros((count, 2), np.uint64),
        np.zeros(count, np.uint64),
        np.zeros((count, 2), np.int32),
        *(np.zeros(count, np.float32) for _ in range(3)),
    )
    with own_pixel_limit():
        looks = map_ahead(
            lambda path: _look(path, max_pixels, perceptual_hash),
            paths,
            num_threads=num_workers,
            ahead=_AHEAD,
        )
        for row, look in enumerate(looks):
            if isinstance(look, str):
                pictures.problems[row] = look
            else:
                _keep(pictures, row, look)
            on_progress(row + 1)
    return pictures


def _perceptual_hash() -> Callable[[Image.Image], Any]:
    try:
        import imagehash
    except ImportError as error:
        raise UsageError(
            f"Perceptual hashes need ImageHash ({error}): {tell_to_install('doctor')}, "
            "or pass --nopictures to go by the embeddings alone."
        ) from error
    return imagehash.phash


@dataclasses.dataclass(frozen=True)
class _Look:
    content: bytes
    bits: int
    size: tuple[int, int]
    light: float
    sharpness: float
    emptiness: float


def _keep(pictures: Pictures, row: int, look: _Look) -> None:
    pictures.contents[row] = np.frombuffer(look.content, np.uint64)
    pictures.hashes[row] = look.bits
    pictures.sides[row] = look.size
    pictures.light[row] = look.light
    pictures.sharpness[row] = look.sharpness
    pictures.emptiness[row] = look.emptiness


def _look(
    path: str, max_pixels: int, perceptual_hash: Callable[[Image.Image], Any]
) -> _Look | str:
    """Returns what a file says, or why it cannot be read."""
    try:
        content = Path(path).read_bytes()
        with open_image(path) as image:
            size = image.size
        picture = read_upright(content, side=_SIDE, most_pixels=max_pixels)
    except FileNotFoundError:
        return "no such file"
    except UNREADABLE as error:
        return str(getattr(error, "strerror", None) or error) or type(error).__name__
    if (picture.width > picture.height) != (size[0] > size[1]):
        size = size[::-1]  # As it is seen, not as it is stored.
    grey = picture.convert("L")
    bits = np.packbits(perceptual_hash(grey).hash).view(np.uint64)
    return _Look(
        hashlib.blake2b(content, digest_size=16).digest(),
        int(bits[0]),
        size,
        *_measure(grey),
    )


def _measure(grey: Image.Image) -> tuple[float, float, float]:
    """Returns light, sharpness and emptiness of a picture."""
    grey.thumbnail((_LOOKED_AT, _LOOKED_AT))
    levels = np.asarray(grey, np.float32)
    light = float(np.percentile(levels, 90)) / 255
    near = np.abs(levels - np.median(levels)) <= _NEAR_MIDDLE
    if min(levels.shape) < 3:
        return light, 0.0, float(near.mean())
    laplacian = (
        levels[:-2, 1:-1]
        + levels[2:, 1:-1]
        + levels[1:-1, :-2]
        + levels[1:-1, 2:]
        - 4 * levels[1:-1, 1:-1]
    )
    return light, float(laplacian.std()), float(near.mean())
