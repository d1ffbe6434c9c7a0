"""How fast is it? Each part yields rows of tables, with the device's ceiling beside."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contestants.setup import Setup
from benchmarks.gpu.program import Run, small_data
from benchmarks.gpu.results import Figure
from benchmarks.workers import Worker, take_turns

STEP, EMBED = "Training step, images/s", "Embedding, images/s"
PRECISIONS = ("float32", "float16", "bfloat16", "bfloat16, XLA")
RIVALS = {
    "ours": ("keras", "ours"),
    "Keras": ("keras", "Keras"),
    "PyTorch": ("torch", "PyTorch"),
    "PyTorch, channels last": ("torch", "PyTorch, channels last"),
    "PyTorch, compiled": ("torch", "PyTorch, compiled"),
}
KERAS_NAME = {"train": "Keras fit", "embed": "Keras predict"}


def ceiling(cpu: bool) -> Iterator[Figure]:
    """What the device can do at best: a product of matrices, a copy of memory."""
    import tensorflow as tf

    side, repeats = (512, 3) if cpu else (8192, 20)
    for kind in ("float32", "bfloat16", "float16"):
        matrix = tf.cast(tf.random.normal((side, side)), kind)
        product = tf.function(lambda matrix=matrix: tf.linalg.matmul(matrix, matrix))
        seconds = _median(lambda f=product: _wait(f()), repeats)
        rate = 2 * side**3 / seconds / 1e12
        yield Figure("The device's ceiling", f"{kind} product", {"TFLOP/s": rate})
    count = 2**22 if cpu else 2**28
    block = tf.random.normal((count,))
    copy = tf.function(lambda: block + 1.0)
    seconds = _median(lambda: _wait(copy()), repeats)
    rate = 2 * 4 * count / seconds / 1e9
    yield Figure("The device's ceiling", "memory, read and written", {"GB/s": rate})


def _wait(tensor: Any) -> None:
    """Waits until a tensor is there, fetching one number of it."""
    tensor[(0,) * len(tensor.shape)].numpy()


def _median(part: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for run in range(repeats + 1):
        started = time.perf_counter()
        part()
        if run:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def steps(cpu: bool) -> Iterator[Figure]:
    """Steps and embedding of two networks against Keras and PyTorch."""
    sizes = {"resnet50": (224, (64, 256)), "efficientnet_lite0": (128, (256,))}
    ways = PRECISIONS
    if cpu:
        sizes, ways = {"small": (32, (8,))}, ("bfloat16, XLA",)
    for network, (image_size, batch_sizes) in sizes.items():
        for way, batch_size in itertools.product(ways, batch_sizes):
            kind, _, jit = way.partition(", ")
            setup = Setup(
                network, image_size, batch_size, precision=kind, jit=bool(jit)
            )
            row = f"{network}, {image_size} px, batch {batch_size}, {way}"
            for what, title in (("train", STEP), ("embed", EMBED)):
                rates = _rates(what, setup, 2 if cpu else 20, 2 if cpu else 5)
                yield Figure(title, row, rates)


def _rates(what: str, setup: Setup, count: int, repeats: int) -> dict[str, float | str]:
    """Returns images per second of each contestant, or why it did not run."""
    rates: dict[str, float | str] = {}
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"

    def start(item: tuple[str, tuple[str, str]]) -> tuple[str, Worker | str]:
        name, (library, called) = item
        called = KERAS_NAME[what] if called == "Keras" else called
        try:
            worker = Worker(library, f"{what}: {called}", setup, environment)
        except RuntimeError as error:
            return name, str(error).partition(":")[0]
        return name, worker.missing or worker

    workers: dict[str, Worker] = {}
    with contextlib.ExitStack() as stack:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            for name, worker in pool.map(start, RIVALS.items()):
                if isinstance(worker, str):
                    rates[name] = worker
                else:
                    workers[name] = stack.enter_context(worker)
        seconds = take_turns(workers, dict.fromkeys(workers, count), repeats)
    for name, runs in seconds.items():
        rates[name] = setup.batch_size / statistics.median(runs)
    return rates


def waiting(cpu: bool) -> Iterator[Figure]:
    """Images from files and from the cache, and how long the device waits for them."""
    side, each = (64, 10) if cpu else (256, 100)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings: dict[str, Any] = {
            "data_dir": small_data(folder, side, 24, each),
            "num_clusters": 1,
            "export": False,
        }
        if not cpu:
            settings |= {
                "backbone": "resnet50(weights=None)",
                "image_size": 224,
                "batch_size": 160,
                "mixed_precision": "bfloat16",
                "num_epochs": 4,
            }
        ways = {"files": {}, "cache": {"cache_images": True, "cache_dir": folder / "c"}}
        for way, flags in ways.items():
            last = Run(folder, way, **settings, **flags).finished().metrics()[-1]
            waited = last["seconds_data"]
            share = waited / (waited + last["seconds_step"])
            values = {"images/s": last["images_per_second"], "waiting, %": 100 * share}
            yield Figure("An epoch's images, last epoch of a run", way, values)


def clustering(cpu: bool) -> Iterator[Figure]:
    """k-means and search of SOP's size, on the GPU and on the CPU."""
    from dce_tf.clustering import fit_kmeans
    from dce_tf.retrieval import find_neighbours

    points, dim, found = (2_000, 64, 5_000) if cpu else (59_551, 2048, 60_502)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(points, dim)).astype(np.float32)
    gallery = rng.normal(size=(found, 128)).astype(np.float32)
    backends = ("faiss",) if cpu else ("faiss-gpu", "faiss")
    for backend in backends:
        values: dict[str, float | str] = {
            f"k-means, {points:,} × {dim}, K = 8": _median(
                lambda b=backend: fit_kmeans(features, 8, backend=b, num_iterations=20),
                2,
            ),
            f"{found:,} × 128 among themselves, 100 each": _median(
                lambda b=backend: find_neighbours(
                    gallery, gallery, 100, exclude_self=True, backend=b
                ),
                2,
            ),
        }
        yield Figure("FAISS, seconds", backend, values)


def example(cpu: bool) -> Iterator[Figure]:
    """The built-in example, from the command to its report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = Run(folder, "example", data_dir=small_data(folder))
        if not cpu:
            run.command = [*run.command[:2], f"--log_dir={folder}", "--exp=example"]
        started = time.perf_counter()
        run.finished()
        seconds = time.perf_counter() - started
        last = run.metrics()[-1]
        values = {"seconds": seconds, "recall@1, validation": last["recall@1"]}
        yield Figure("python main.py", "a small set" if cpu else "glyphs", values)


FIGURES: dict[str, Callable[[bool], Iterator[Figure]]] = {
    "ceiling": ceiling,
    "clustering": clustering,
    "waiting": waiting,
    "steps": steps,
    "example": example,
}
