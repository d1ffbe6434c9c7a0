"""How time and memory grow with the data: at once, four and sixteen times as much.

    python -m benchmarks.growth [--images 3722] [--parts division evaluation …]

Sixteen times as much is the size of SOP. Each measurement is a process of its own; its
memory is what it took at its peak beyond what it had before the work, the data itself
included, but not what is mapped from files, which the system drops when it needs room.
A search of everything in everything is quadratic by nature. `mapped` is a division of
features in a file (`--features_dir`), with centroids from at most 50,000 of them.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import functools
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.timing import print_machine

FACTORS = (1, 4, 16)
IMAGES_PER_CLASS = 5
CLUSTERS = 8
SAMPLE = 50_000
BLOCK = 20_000

Work = Callable[[], Any]


def make_division(num_images: int, dim: int) -> Work:
    """Returns a whole division, k-means included."""
    from benchmarks.division import draw_features
    from dce_tf.clustering import divide

    features, labels = draw_features(num_images, num_images // IMAGES_PER_CLASS, dim)
    return lambda: divide(features, labels, CLUSTERS)


def make_mapped(num_images: int, dim: int) -> Work:
    """Returns a whole division of features that lie in a file."""
    from benchmarks.division import draw_features
    from dce_tf.base.files import array_on_disk
    from dce_tf.clustering import divide

    features = array_on_disk(Path(tempfile.gettempdir()), (num_images, dim))
    labels = np.empty(num_images, np.int32)
    for start in range(0, num_images, BLOCK):
        count = min(BLOCK, num_images - start)
        block = draw_features(count, max(count // IMAGES_PER_CLASS, 1), dim)
        features[start : start + count], labels[start : start + count] = block
    return lambda: divide(features, labels, CLUSTERS, num_sampled=SAMPLE)


def make_evaluation(num_images: int, dim: int) -> Work:
    """Returns an evaluation of every image among all others, 128 numbers each."""
    from benchmarks.division import draw_features
    from dce_tf.retrieval import evaluate_retrieval

    del dim
    found, labels = draw_features(num_images, num_images // IMAGES_PER_CLASS, 128, 1.4)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return lambda: evaluate_retrieval(found, labels, found, labels, leave_one_out=True)


def make_sampling(num_images: int, dim: int) -> Work:
    """Returns the drawing of the rows of an epoch."""
    from dce_tf.sampling import plan_epoch

    del dim
    labels = np.arange(num_images, dtype=np.int32) // IMAGES_PER_CLASS
    return lambda: plan_epoch(
        labels,
        labels % CLUSTERS,
        CLUSTERS,
        batch_size=80,
        samples_per_class=4,
        seed=0,
        epoch=0,
    )


def make_pipeline(num_images: int, dim: int) -> Work:
    """Returns the building of the pipeline of an epoch, traced before."""
    from benchmarks.division import rebuild

    del dim
    labels = np.arange(num_images, dtype=np.int32) // IMAGES_PER_CLASS
    build: Work = rebuild(labels, labels % CLUSTERS, CLUSTERS)
    return build


def make_list(num_images: int, dim: int) -> Work:
    """Returns the reading of a CSV index."""
    from benchmarks.reading import read, write_lists

    del dim
    root = Path(tempfile.mkdtemp()) / "csv"
    write_lists(root, "csv", num_images)
    return lambda: read(root, "csv")


PARTS: dict[str, Callable[[int, int], Work]] = {
    "division": make_division,
    "mapped": make_mapped,
    "evaluation": make_evaluation,
    "sampling": make_sampling,
    "pipeline": make_pipeline,
    "list": make_list,
}


def measure(part: str, num_images: int, dim: int, repeats: int) -> tuple[float, float]:
    """Returns the median seconds, and the megabytes taken at the peak."""
    PARTS[part](max(num_images // 16, 200), dim)()  # Imports, traces, starts threads.
    seconds = []
    with watched_memory() as megabytes:
        work = PARTS[part](num_images, dim)
        for _ in range(repeats):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), max(megabytes) - megabytes[0]


@contextlib.contextmanager
def watched_memory() -> Iterator[list[float]]:
    """Notes what this process has in memory, in MB, fifty times a second."""
    noted = [own_memory()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            noted.append(own_memory())

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield noted
        finally:
            done.set()
            watching.result()
            noted.append(own_memory())


def own_memory() -> float:
    """Returns what this process has in memory without files, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("RssAnon:"))
    return int(kilobytes) / 1024


def per_doubling(values: Sequence[float]) -> str:
    """Returns by what the last of several is more, for each doubling; 2 is linear.

    Args:
        values: At each of `FACTORS`.
    """
    doublings = np.log2(FACTORS[-1] / FACTORS[-2])
    if min(values[-2:]) <= 0:
        return "–"
    return f"{(values[-1] / values[-2]) ** (1 / doublings):.2f}"


def make_table(title: str, unit: str, figures: dict[str, list[float]]) -> Table:
    """Draws one figure of all parts."""
    table = Table(title=title)
    table.add_column("")
    for factor in FACTORS:
        table.add_column(f"{factor} ×, {unit}", justify="right")
    table.add_column(f"a doubling, {FACTORS[-2]} × to {FACTORS[-1]} ×", justify="right")
    for part, values in figures.items():
        cells = [f"{value:.3f}" if unit == "s" else f"{value:.0f}" for value in values]
        table.add_row(part, *cells, per_doubling(values))
    return table


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3_722)
    parser.add_argument("--dim", type=int, default=2048, help="Of the features.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    seconds: dict[str, list[float]] = {part: [] for part in args.parts}
    megabytes: dict[str, list[float]] = {part: [] for part in args.parts}
    for part in args.parts:
        for factor in FACTORS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                work = functools.partial(measure, part, args.images * factor)
                taken, peak = pool.apply(work, (args.dim, args.repeats))
            seconds[part].append(taken)
            megabytes[part].append(peak)
    shape = f"{args.images:,} images and {' and '.join(map(str, FACTORS[1:]))} times"
    print_machine(make_table(f"Time, {shape} as many", "s", seconds))
    print_machine(make_table(f"Peak memory, {shape} as many", "MB", megabytes))


if __name__ == "__main__":
    main()
