"""Looking at every image once, so that no broken one meets the training."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import tensorflow as tf
from PIL import Image

from dce_tf import images

T = TypeVar("T")

_EXIF_ORIENTATION = 0x0112


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What there is to say of an image file.

    Attributes:
        problem: Why it cannot be decoded; empty if it can.
        size: Width and height in pixels, as stored.
        mode: How PIL calls its pixels, such as `L`, `RGB`, `RGBA`, `P` or `CMYK`.
        turned: Whether its EXIF orientation is not upright.
    """

    problem: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    turned: bool = False


def find_broken(
    paths: Sequence[str],
    *,
    num_workers: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> dict[str, str]:
    """Decodes every image and returns those that fail, with the reason.

    Args:
        paths: The image files.
        num_workers: Threads; 0 takes one for each processor.
        on_progress: Told after each image how many are done.

    Returns:
        What is wrong with each broken image, by path.
    """
    problems = _in_parallel(find_problem, paths, num_workers, on_progress)
    return {
        path: problem for path, problem in zip(paths, problems, strict=True) if problem
    }


def survey(
    paths: Sequence[str],
    *,
    num_workers: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> list[ImageFacts]:
    """Decodes every image and says what it is; arguments as of `find_broken`."""
    return _in_parallel(read_facts, paths, num_workers, on_progress)


def _in_parallel(
    function: Callable[[str], T],
    paths: Sequence[str],
    num_workers: int,
    on_progress: Callable[[int], None],
) -> list[T]:
    results: list[T] = []
    with concurrent.futures.ThreadPoolExecutor(num_workers or None) as pool:
        for result in pool.map(function, paths):
            results.append(result)
            on_progress(len(results))
    return results


def read_facts(path: str) -> ImageFacts:
    """Decodes an image and says what it is."""
    problem = find_problem(path)
    if problem:
        return ImageFacts(problem)
    with Image.open(path) as image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        return ImageFacts("", image.size, image.mode, orientation in range(2, 9))


def find_problem(path: str) -> str:
    """Decodes an image and returns why that fails, or an empty text."""
    try:
        with tf.device("CPU:0"):
            images.decode(tf.io.read_file(path))
    except tf.errors.NotFoundError:
        return "no such file"
    except (tf.errors.OpError, UnicodeEncodeError) as error:
        return str(getattr(error, "message", error)).splitlines()[0][:200]
    return ""
