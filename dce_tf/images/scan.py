"""Looking at every image once, so that no broken one meets the training."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from dce_tf.base.threads import map_ahead
from dce_tf.images import preprocessing
from dce_tf.images.file_kinds import HEAD_BYTES, READ, advice, unread_kind
from dce_tf.images.gif import Extent, gif_extent
from dce_tf.images.orientation import read_orientation
from dce_tf.images.pillow import open_image, opened, other_format
from dce_tf.images.refusals import sentence_of

_AHEAD = 8  # How many images a thread may be ahead of whoever takes them.
_TOGETHER = 16  # Images decoded in one call, which costs more than a small image.


def _shape_of(path: tf.Tensor) -> tf.Tensor:
    return tf.shape(preprocessing.decode(tf.io.read_file(path)))


# Compiled once: op by op, the many small ones cost more than an image.
_decode = tf.function(
    _shape_of, input_signature=[tf.TensorSpec((), tf.string)], autograph=False
)


@tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
def _decode_each(paths: tf.Tensor) -> tf.Tensor:
    shape = tf.TensorSpec((3,), tf.int32)
    # One after the other, as no more than one per thread is to be in memory.
    return tf.map_fn(_shape_of, paths, fn_output_signature=shape, parallel_iterations=1)


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What there is to say of an image file.

    Attributes:
        problem: Why it cannot be decoded; empty if it can.
        size: Width and height in pixels, as stored.
        mode: How PIL calls its pixels, such as `L`, `RGB`, `RGBA`, `P` or `CMYK`.
        turned: Whether it is turned as its EXIF orientation says.
    """

    problem: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    turned: bool = False


def find_broken(
    paths: Sequence[str],
    *,
    max_pixels: int,
    num_workers: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> dict[str, str]:
    """Decodes every image, on all cores, and returns those that cannot be used.

    Args:
        paths: The image files.
        max_pixels: Images of more pixels cannot be; they are not decoded.
        num_workers: Threads; 0 takes one for each processor.
        on_progress: Told again and again how many are done.

    Returns:
        What is wrong with each broken image, by path.
    """
    facts = survey(
        paths,
        max_pixels=max_pixels,
        num_workers=num_workers,
        on_progress=on_progress,
    )
    return {
        path: fact.problem
        for path, fact in zip(paths, facts, strict=True)
        if fact.problem
    }


def survey(
    paths: Sequence[str],
    *,
    max_pixels: int,
    num_workers: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[ImageFacts]:
    """Decodes every image and says what it is; arguments as of `find_broken`."""
    facts: list[ImageFacts] = []
    threads = num_workers or os.cpu_count() or 1
    starts = range(0, len(paths), _TOGETHER)
    with own_pixel_limit():
        for found in map_ahead(
            lambda start: _survey(paths[start : start + _TOGETHER], max_pixels),
            starts,
            num_threads=threads,
            ahead=threads,
        ):
            facts += found
            on_progress(len(facts))
    return facts


def examine(
    paths: Sequence[str],
    *,
    max_pixels: int,
    num_workers: int = 0,
    decode: Callable[[str], Any] = _decode,
) -> Iterator[tuple[ImageFacts, Any]]:
    """Decodes every image, in order, a few ahead of whoever asks.

    Args:
        paths: The image files.
        max_pixels: Images of more pixels are not decoded.
        num_workers: Threads; 0 takes one for each processor.
        decode: From a path to what is to be made of the image.

    Yields:
        What each image is, and what `decode` made of it; None of a broken one.
    """
    threads = num_workers or os.cpu_count() or 1
    with own_pixel_limit():
        yield from map_ahead(
            lambda path: _look_at(path, max_pixels, decode),
            paths,
            num_threads=threads,
            ahead=_AHEAD * threads,
        )


@contextlib.contextmanager
def own_pixel_limit() -> Iterator[None]:
    """Lifts PIL's own limit on pixels while ours stands in for it."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _survey(paths: Sequence[str], max_pixels: int) -> list[ImageFacts]:
    facts = [_inspect(path, max_pixels, _facts) for path in paths]
    sound = [i for i, fact in enumerate(facts) if not fact.problem]
    try:
        with tf.device("CPU:0"):
            _decode_each(tf.constant([paths[i] for i in sound], tf.string))
    except (tf.errors.OpError, UnicodeEncodeError):
        # One of them is broken; which, and why, they say one by one.
        for i in sound:
            facts[i] = _decoded(paths[i], facts[i], _decode)[0]
    return facts


def _look_at(
    path: str, max_pixels: int, decode: Callable[[str], Any]
) -> tuple[ImageFacts, Any]:
    facts = _inspect(path, max_pixels, _facts)
    return (facts, None) if facts.problem else _decoded(path, facts, decode)


def _decoded(
    path: str, facts: ImageFacts, decode: Callable[[str], Any]
) -> tuple[ImageFacts, Any]:
    try:
        with tf.device("CPU:0"):
            return facts, decode(path)
    except (tf.errors.OpError, UnicodeEncodeError) as error:
        return ImageFacts(what_is_wrong(error)), None


def what_is_wrong(error: Exception) -> str:
    """Returns why TensorFlow could not decode an image, in one line."""
    return sentence_of(str(getattr(error, "message", error)))[:200]


def header_problem(source: str | bytes, max_pixels: int) -> str:
    """Returns what is wrong with an image as far as its header tells, or nothing.

    Args:
        source: The file, or what is in it.
        max_pixels: Images of more pixels cannot be used.
    """
    # Not its orientation, which may stand behind all the pixels.
    facts = _inspect(source, max_pixels, lambda image, _: ImageFacts("", image.size))
    return facts.problem


def _inspect(
    source: str | bytes,
    max_pixels: int,
    facts_of: Callable[[Image.Image, BinaryIO], ImageFacts],
) -> ImageFacts:
    try:
        # Opening a pipe would wait for somebody to write into it.
        if isinstance(source, str) and not stat.S_ISREG(Path(source).stat().st_mode):
            return ImageFacts("not a file")
        with opened(source) as file, open_image(file) as image:
            facts = facts_of(image, file)
        extent = Extent.of_still(*facts.size)
        if image.format == "GIF":
            extent = gif_extent(_content(source))
    except FileNotFoundError:
        return ImageFacts("no such file")
    except UnidentifiedImageError:
        return ImageFacts(_unidentified(source))
    except (OSError, ValueError, SyntaxError) as error:  # PIL raises all of them.
        return ImageFacts(str(getattr(error, "strerror", None) or error))
    if extent.pixels > max_pixels:
        return ImageFacts(
            f"{extent} are more than --max_image_pixels={max_pixels}; "
            "scale it down or raise the limit"
        )
    return facts


def _unidentified(source: str | bytes) -> str:
    with opened(source) as file:
        head = file.read(HEAD_BYTES)
    kind = unread_kind(head) or other_format(head)
    return f"not an image; expected {READ}" if kind is None else advice(kind)


def _content(source: str | bytes) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _facts(image: Image.Image, file: BinaryIO) -> ImageFacts:
    # PIL reads no further; its own reader of EXIF finds it elsewhere, too.
    turned = read_orientation(file) != 1
    return ImageFacts("", image.size, image.mode, turned)
