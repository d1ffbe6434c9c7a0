"""Decoding and cropping, by image size, against PIL and the JPEG library's own ceiling.

    python -m benchmarks.input --data_dir=GROCERY [--sides 256 1000 3464] [--repeats 3]

The photographs are enlarged, with grain; all lie in the system's file cache. Ours are
the pipelines of training and evaluation as they are, with images decoded again or out
of the cache of decoded images. PIL does the same in as many processes, once decoding
in full and once by the discrete cosine transform (`draft`). The ceilings only decode.
"""

from __future__ import annotations

import argparse
import collections
import functools
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.table import Table

from benchmarks import photographs
from benchmarks.reference import pictures
from benchmarks.timing import alternate, print_machine

COUNTS = {256: 2000, 1000: 400, 3464: 40}  # Images of each size; others as the last.
SIDES = tuple(COUNTS)  # 3464 squared are 12 megapixels.
BATCH_SIZE = 20
PER_CLASS = 4

Part = Callable[[], Any]


def train_with_pil(path: str, image_size: int) -> int:
    """Decodes and crops as the reference program trains."""
    return pictures.training_image(pictures.read_image(path), image_size).size


def evaluate_with_pil(path: str, image_size: int) -> int:
    """Decodes and crops as the reference program evaluates."""
    return pictures.evaluation_image(pictures.read_image(path), image_size).size


def evaluate_with_draft(path: str, image_size: int) -> int:
    """Does so, decoding no more than twice the size that is wanted."""
    wanted = 2 * round(image_size * pictures.RESIZE_RATIO)
    with Image.open(path) as image:
        image.draft("RGB", (wanted, wanted))
        return pictures.evaluation_image(image.convert("RGB"), image_size).size


def decode_with_pil(path: str) -> int:
    """Decodes in full."""
    return pictures.read_image(path).width


def decode_draft(path: str, image_size: int) -> int:
    """Decodes at the smallest size, by eighths, that is not below the one wanted."""
    with Image.open(path) as image:
        image.draft("RGB", (image_size, image_size))
        image.load()
        return image.width


def pil_parts(pool: Pool, paths: list[str], image_size: int) -> dict[str, Part]:
    """Returns what PIL does, in the processes of a pool."""
    sized = {
        "train: PIL": train_with_pil,
        "evaluate: PIL": evaluate_with_pil,
        "evaluate: PIL, draft": evaluate_with_draft,
        "ceiling: libjpeg through PIL, draft": decode_draft,
    }
    work: dict[str, Callable[[str], int]] = {
        name: functools.partial(function, image_size=image_size)
        for name, function in sized.items()
    }
    work["ceiling: libjpeg through PIL, in full"] = decode_with_pil
    return {
        name: functools.partial(pool.map, function, paths, chunksize=5)
        for name, function in work.items()
    }


def our_parts(
    paths: list[str], image_size: int, threads: int, cache_dir: Path
) -> dict[str, Part]:
    """Returns what our pipelines do, and TensorFlow's decoder by itself.

    The cache of decoded images is filled here, and is not timed.
    """
    import tensorflow as tf

    from dce_tf.clustering.division import whole_division
    from dce_tf.datasets import Images
    from dce_tf.images.image_cache import open_cache
    from dce_tf.training.pipelines import (
        ClusterPipelines,
        EpochPlanner,
        EvaluationPipelines,
        FileReader,
    )

    labels = np.arange(len(paths), dtype=np.int32) // (2 * PER_CLASS)
    names = tuple(str(label) for label in range(labels[-1] + 1))
    planner = EpochPlanner(Images(tuple(paths), labels, names), BATCH_SIZE, PER_CLASS)
    cache = open_cache(
        cache_dir, paths, image_size, max_pixels=10**8, num_workers=threads
    )
    parts: dict[str, Part] = {}
    for kind, reader in (("files", FileReader()), ("cache", cache)):
        train = ClusterPipelines(
            planner, image_size, num_workers=threads, reader=reader
        )
        batches = train.build(whole_division(labels), 0).dataset
        parts[f"train: ours, {kind}"] = functools.partial(exhaust, batches)
        evaluation = EvaluationPipelines(image_size, BATCH_SIZE, threads, reader)
        parts[f"evaluate: ours, {kind}"] = functools.partial(
            exhaust, evaluation.build(paths)
        )
    files = tf.data.Dataset.from_tensor_slices(paths)

    def decode(path: Any) -> Any:
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)

    parts["ceiling: tf.io.decode_jpeg"] = functools.partial(
        exhaust, files.map(decode, threads, deterministic=False)
    )
    return parts


def exhaust(dataset: Any) -> None:
    """Takes everything a data set has, and nothing of it to Python."""
    collections.deque(dataset, maxlen=0)


def measure(side: int, args: argparse.Namespace) -> Table:
    """Measures images of one size."""
    count = args.images or COUNTS.get(side, COUNTS[SIDES[-1]])
    count = max(1, count // BATCH_SIZE) * BATCH_SIZE
    with tempfile.TemporaryDirectory() as name:
        folder = photographs.write_enlarged(
            Path(args.data_dir), Path(name), side, count
        )
        rows = photographs.read_index(folder)
        paths = [row["path"] for row in rows]
        pixels = statistics.mean(Path(path).stat().st_size for path in paths)
        with multiprocessing.get_context("spawn").Pool(args.threads) as pool:
            theirs = pil_parts(pool, paths, args.image_size)
            ours = our_parts(paths, args.image_size, args.threads, Path(name, "cache"))
            seconds = alternate({**ours, **theirs}, args.repeats)
    title = (
        f"{len(paths)} JPEGs of {side} × {side}, {pixels / 1e3:,.0f} kB each, to "
        f"{args.image_size} px, {args.threads} threads or processes"
    )
    table = Table(title=title)
    table.add_column("")
    for column in ("images/s", "least", "most"):
        table.add_column(column, justify="right")
    for part in sorted(seconds, key=lambda part: (part.startswith("ceiling"), part)):
        rates = [len(paths) / run for run in seconds[part]]
        figures = (statistics.median(rates), min(rates), max(rates))
        table.add_row(part, *(f"{figure:,.0f}" for figure in figures))
    return table


def main() -> None:
    """Prints a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, help="The grocery photographs.")
    parser.add_argument("--sides", type=int, nargs="+", default=list(SIDES))
    parser.add_argument("--images", type=int, help="Of each size.")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    for side in args.sides:
        print_machine(measure(side, args))


if __name__ == "__main__":
    main()
