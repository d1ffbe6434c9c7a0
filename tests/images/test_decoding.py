"""Every kind of file, decoded in a process of its own, against Pillow."""

import contextlib
import functools
import io
import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from benchmarks.decoding import CrashedError, DecodingProcess, RefusedError

SIZES = [(64, 64), (97, 61), (1, 40), (40, 1), (1, 1)]
CONTENTS = ["noise", "photograph"]


@pytest.fixture(scope="module")
def process() -> Iterator[DecodingProcess]:
    with DecodingProcess() as running:
        yield running


@functools.cache
def photograph() -> Image.Image:
    return Image.fromarray(load_sample_image("china.jpg"))


def content(name: str, size: tuple[int, int], frame: int, mode: str) -> Image.Image:
    """Returns one of several different images, without any symmetry."""
    width, height = size
    if name == "noise":
        rng = np.random.default_rng(frame)
        values = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
        image = Image.fromarray(values[..., : 4 if mode in ("RGBA", "LA") else 3])
        return image.convert(mode)
    left, top = 60 + 40 * frame, 100
    image = photograph().crop((left, top, left + width, top + height))
    if mode in ("RGBA", "LA"):
        ramp = np.linspace(0, 255, width * height).astype(np.uint8)
        image.putalpha(Image.fromarray(ramp.reshape(height, width)))
    return image.convert(mode)


def encoded(
    kind: str, name: str, size: tuple[int, int], mode: str, frames: int, **options: bool
) -> bytes:
    first, *others = (content(name, size, n, mode) for n in range(frames))
    if others:
        options |= {"save_all": True, "append_images": others}
    buffer = io.BytesIO()
    first.save(buffer, kind, **options)
    return buffer.getvalue()


def as_pillow_reads(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def largest_difference(process: DecodingProcess, data: bytes) -> int:
    decoded, expected = process.decode(data), as_pillow_reads(data)
    assert decoded.shape == expected.shape
    return int(np.abs(decoded.astype(int) - expected).max())


def cases(modes: list[str], frames: list[int]) -> list:
    return list(itertools.product(CONTENTS, SIZES, modes, frames))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(
    ("name", "size", "mode", "frames"), cases(["RGB", "RGBA"], [1, 2, 3])
)
def test_webp(
    process: DecodingProcess,
    name: str,
    size: tuple[int, int],
    mode: str,
    frames: int,
    lossless: bool,
) -> None:
    data = encoded("WEBP", name, size, mode, frames, lossless=lossless, exact=True)
    assert largest_difference(process, data) == 0


@pytest.mark.parametrize(
    ("name", "size", "mode", "frames"),
    cases(["1", "L", "LA", "P", "RGB", "RGBA"], [1, 3]),
)
def test_png(
    process: DecodingProcess, name: str, size: tuple[int, int], mode: str, frames: int
) -> None:
    data = encoded("PNG", name, size, mode, frames)
    assert largest_difference(process, data) == 0


@pytest.mark.parametrize(
    ("name", "size", "mode", "frames"), cases(["L", "P", "RGB"], [1, 3])
)
def test_gif(
    process: DecodingProcess, name: str, size: tuple[int, int], mode: str, frames: int
) -> None:
    data = encoded("GIF", name, size, mode, frames)
    assert largest_difference(process, data) == 0


@pytest.mark.parametrize(
    ("name", "size", "mode", "frames"), cases(["L", "P", "RGB", "RGBA"], [1])
)
def test_bmp(
    process: DecodingProcess, name: str, size: tuple[int, int], mode: str, frames: int
) -> None:
    data = encoded("BMP", name, size, mode, frames)
    assert largest_difference(process, data) == 0


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize(
    ("name", "size", "mode", "frames"), cases(["L", "RGB", "CMYK"], [1])
)
def test_jpeg(
    process: DecodingProcess,
    name: str,
    size: tuple[int, int],
    mode: str,
    frames: int,
    options: dict[str, Any],
) -> None:
    data = encoded("JPEG", name, size, mode, frames, **options)
    # The two turn ink to light differently.
    assert largest_difference(process, data) <= (1 if mode == "CMYK" else 0)


def test_the_first_of_several_jpegs_in_one_file(process: DecodingProcess) -> None:
    assert largest_difference(process, encoded("MPO", "noise", (64, 64), "RGB", 2)) == 0


def test_animations_cut_short_or_changed_anywhere_crash_nothing(
    process: DecodingProcess,
) -> None:
    whole = encoded("WEBP", "noise", (64, 64), "RGB", 2, lossless=True)
    cut = [whole[:length] for length in (*range(60), len(whole) // 2, len(whole) - 1)]
    changed = []
    # Not the size of the canvas, which limits on pixels look at.
    places = [*range(24), *range(30, 60)]
    for place, bit in itertools.product(places, range(8)):
        data = bytearray(whole)
        data[place] ^= 1 << bit
        changed.append(bytes(data))
    for data in [*cut, *changed]:
        with contextlib.suppress(RefusedError):
            assert process.decode(data).shape[2] == 3


@pytest.mark.slow
def test_a_crash_ends_the_child_alone() -> None:
    with DecodingProcess("tests.images.test_decoding:crash_or_return") as process:
        with pytest.raises(CrashedError, match="SIGABRT"):
            process.decode(b"crash")
        assert process.decode(b"fine") == b"fine"


def crash_or_return(data: Any) -> Any:
    def found(value: Any) -> Any:
        if value.numpy() == b"crash":
            os.abort()
        return value

    return tf.py_function(found, [data], tf.string)
