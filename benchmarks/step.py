"""A training step and inference, against Keras alone, PyTorch and the ceiling.

    python -m benchmarks.step [--networks resnet50 efficientnet_lite0] [--repeats 5]
        [--weights efficientnet_lite0.keras]

All contestants have the same network, batch and number of threads, and one batch of
noise that is in memory already. Each is a process of its own; all take turns. The
ceiling is the faster of both libraries' float32 products of two square matrices; a
training step counts as three times the multiply-adds of the network.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.table import Table

from benchmarks.contestants.setup import Setup
from benchmarks.timing import print_machine
from benchmarks.workers import Worker, take_turns

IMAGE_SIZES = {"resnet50": 224, "efficientnet_lite0": 128}
BATCH_SIZES = {"resnet50": 16, "efficientnet_lite0": 80}
STEPS = {"train": 3, "embed": 6}  # Each time.
PASSES = {"train": 3, "embed": 1}  # Times the multiply-adds of the network.
RIVALS = {
    "ours": "keras",
    "Keras fit": "keras",
    "Keras predict": "keras",
    "PyTorch": "torch",
    "PyTorch, channels last": "torch",
    "PyTorch, compiled": "torch",
}
IN_TRAINING = [name for name in RIVALS if name != "Keras predict"]
IN_INFERENCE = [name for name in RIVALS if name != "Keras fit"]
PRODUCTS = {"product, TensorFlow": "keras", "product, PyTorch": "torch"}


def environment(threads: int) -> dict[str, str]:
    """Returns that of a process which computes on a number of threads."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def weights_for_torch(weights: str | None, folder: Path) -> str | None:
    """Converts a `.keras` file, in a process of its own; returns the new file."""
    if weights is None:
        return None
    path = folder / "weights.npz"
    module = "benchmarks.reference.weights"
    command = [sys.executable, "-m", module, weights, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return str(path)


@contextlib.contextmanager
def open_workers(
    what: str, setups: Mapping[str, Setup], side: int, threads: int
) -> Iterator[tuple[dict[str, Worker], dict[str, str]]]:
    """Starts all contestants, one after the other, and ends them at the end.

    Args:
        what: `"train"` or `"embed"`.
        setups: The work, for `"keras"` and `"torch"`.
        side: Of the square matrices.
        threads: Of each.

    Yields:
        Those that run, and why the others do not, by name.
    """
    names = IN_TRAINING if what == "train" else IN_INFERENCE
    wanted = {name: (RIVALS[name], f"{what}: {name}") for name in names}
    wanted |= {name: (library, "multiply") for name, library in PRODUCTS.items()}
    workers: dict[str, Worker] = {}
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for name, (library, called) in wanted.items():
            setup = setups[library]
            if called == "multiply":
                setup = Setup("", side, 0)
            try:
                worker = Worker(library, called, setup, environment(threads))
            except RuntimeError as error:
                if name == "ours":
                    raise
                missing[name] = str(error).partition(":")[0]
                continue
            stack.enter_context(worker)
            if worker.missing:
                missing[name] = worker.missing
            else:
                workers[name] = worker
        yield workers, missing


def make_table(
    title: str,
    seconds: Mapping[str, list[float]],
    missing: Mapping[str, str],
    batch_size: int,
    flops: float,
    ceiling: float,
) -> Table:
    """Draws the table of one network.

    Args:
        title: What was done.
        seconds: A step, of each round, by contestant; `"ours"` among them.
        missing: Why others did not run.
        batch_size: Images per step.
        flops: Floating-point operations an image.
        ceiling: The machine's, a second.
    """
    table = Table(title=title)
    table.add_column("")
    for column in ("images/s", "least", "most", "ours is … times", "of the ceiling"):
        table.add_column(column, justify="right")
    for name, runs in seconds.items():
        rates = [batch_size / run for run in runs]
        rate = statistics.median(rates)
        pairs = zip(runs, seconds["ours"], strict=True)
        ratio = statistics.median(run / ours for run, ours in pairs)
        figures = (rate, min(rates), max(rates))
        cells = [f"{figure:.1f}" for figure in figures]
        table.add_row(name, *cells, f"{ratio:.2f}", f"{rate * flops / ceiling:.0%}")
    for name, reason in missing.items():
        table.add_row(name, reason)
    return table


def compare(what: str, network: str, args: argparse.Namespace) -> Table:
    """Measures one network in training or inference."""
    from benchmarks.contestants.keras_side import build_network
    from benchmarks.multiply_adds import count_multiply_adds

    batch_size = args.batch_size or BATCH_SIZES[network]
    weights = args.weights if network == "efficientnet_lite0" else None
    ours = Setup(network, args.image_size or IMAGE_SIZES[network], batch_size, weights)
    per_image = count_multiply_adds(build_network(ours), ours.image_size)
    with tempfile.TemporaryDirectory() as folder:
        theirs = Setup(
            network,
            ours.image_size,
            batch_size,
            weights_for_torch(weights, Path(folder)),
        )
        setups = {"keras": ours, "torch": theirs}
        with open_workers(what, setups, args.side, args.threads) as (workers, missing):
            steps = dict.fromkeys(workers, args.steps or STEPS[what])
            seconds = take_turns(workers, steps, args.repeats)
    products = [seconds.pop(name) for name in PRODUCTS if name in seconds]
    ceiling = 2 * args.side**3 / min(statistics.median(runs) for runs in products)
    title = f"{network}, {ours.image_size} px, {what}, batches of {batch_size}"
    caption = (
        f"{per_image / 1e6:,.0f} million multiply-adds an image; the machine's ceiling "
        f"is {ceiling / 1e9:,.0f} GFLOP/s on {args.threads} threads"
    )
    flops = 2 * per_image * PASSES[what]
    missing = {name: why for name, why in missing.items() if name not in PRODUCTS}
    table = make_table(title, seconds, missing, batch_size, flops, ceiling)
    table.caption = caption
    return table


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=IMAGE_SIZES)
    parser.add_argument("--what", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--weights", help="efficientnet_lite0.keras; default: random.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, help="At a time.")
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--image_size", type=int)
    parser.add_argument("--side", type=int, default=2048, help="Of the matrices.")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    networks = args.networks or (list(IMAGE_SIZES) if args.weights else ["resnet50"])
    if "efficientnet_lite0" in networks and not args.weights:
        parser.error("efficientnet_lite0 needs --weights, the file it is built from.")
    for network in networks:
        for what in args.what:
            print_machine(compare(what, network, args))


if __name__ == "__main__":
    main()
