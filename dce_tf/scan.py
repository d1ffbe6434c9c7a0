"""Looking at every image once, so that no broken one meets the training."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Sequence

import tensorflow as tf

from dce_tf import images


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
    broken = {}
    with concurrent.futures.ThreadPoolExecutor(num_workers or None) as pool:
        for row, problem in enumerate(pool.map(_problem, paths)):
            if problem:
                broken[paths[row]] = problem
            on_progress(row + 1)
    return broken


def _problem(path: str) -> str | None:
    try:
        with tf.device("CPU:0"):
            images.decode(tf.io.read_file(path))
    except tf.errors.NotFoundError:
        return "no such file"
    except (tf.errors.OpError, UnicodeEncodeError) as error:
        return str(getattr(error, "message", error)).splitlines()[0][:200]
    return None
