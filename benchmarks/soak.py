"""Does a long run stay as it was? 200 epochs of the built-in example in one process.

    python -m benchmarks.soak [--epochs 200] [--csv FILE] [--trim]

The schedule is the recipe's, stretched: half of the epochs divide, a quarter trains the
whole embedding on clusters, a quarter finetunes. After each epoch its memory, open
handles, threads and seconds are noted; printed are their slopes over 100 epochs, with
an interval of 95 % from resampled epochs. What grows for ever has one above 0. The
stages differ in length by nature, so that seconds are compared within each stage.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import dataclasses
import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.timing import look, print_machine
from dce_tf.config import Config
from dce_tf.record import record_of
from dce_tf.reports.display import Display
from dce_tf.runs.train import train

RESAMPLED = 2000
WARM_UP = 0.1  # Share of the epochs that are left out: memory settles in them.
GLYPHS = Config(
    dataset="glyphs",
    image_size=48,
    augmentation="none",
    backbone="small",
    embedding_dim=64,
    num_clusters=4,
    cluster_batches="max",
    backbone_lr=1e-3,
    backbone_wd=0.0,
    embedding_lr=1e-3,
    embedding_wd=0.0,
    loss="margin(miner=distance_weighted)",
)

Column = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Sample:
    """What an epoch left behind.

    Attributes:
        epoch: Its number.
        stage: What it trained.
        megabytes: Of memory in use.
        handles: Open files, pipes and sockets.
        threads: Of the process.
        seconds: Since the epoch before ended.
    """

    epoch: int
    stage: str
    megabytes: float
    handles: int
    threads: int
    seconds: float


class Watch(keras.callbacks.Callback):
    """Looks at the process after each epoch; Linux only.

    Args:
        trim: Before that, give back what the C library's heap holds and nothing uses.
    """

    def __init__(self, *, trim: bool = False) -> None:
        super().__init__()
        self.samples: list[Sample] = []
        self._trim = trim
        self._moment = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts the clock."""
        del logs
        self._moment = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Notes the epoch."""
        del logs
        now = time.perf_counter()
        record = record_of(self)
        stage = "" if record is None else record.stage
        if self._trim:
            gc.collect()
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        self.samples.append(Sample(epoch, stage, *look(), now - self._moment))
        self._moment = now


def slope(epochs: Column, values: Column) -> float:
    """Returns the slope of the straight line of least squares, over 100 epochs."""
    centred = epochs - epochs.mean()
    spread = float(centred @ centred)
    return 100 * float(centred @ values) / spread if spread else 0.0


def slope_interval(
    epochs: Column, values: Column, seed: int = 0
) -> tuple[float, float, float]:
    """Returns the slope over 100 epochs, and the ends of its 95 % interval.

    Args:
        epochs: float64 `(num_epochs,)`.
        values: float64 `(num_epochs,)`.
        seed: Decides which epochs are drawn.
    """
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(epochs), size=(RESAMPLED, len(epochs)))
    slopes = [slope(epochs[drawn], values[drawn]) for drawn in rows]
    low, high = np.percentile(slopes, (2.5, 97.5))
    return slope(epochs, values), float(low), float(high)


def within_stages(samples: Sequence[Sample]) -> Column:
    """Returns the seconds of each epoch, by the median of those of its stage."""
    seconds = np.asarray([sample.seconds for sample in samples])
    stages = np.asarray([sample.stage for sample in samples])
    for stage in np.unique(stages):
        own = stages == stage
        seconds[own] /= np.median(seconds[own])
    return seconds


def make_table(samples: Sequence[Sample]) -> Table:
    """Draws the slopes of what was seen, without the epochs of the warm-up."""
    kept = samples[int(WARM_UP * len(samples)) :]
    epochs = np.asarray([float(sample.epoch) for sample in kept])
    columns = {
        "memory, MB": [sample.megabytes for sample in kept],
        "handles": [float(sample.handles) for sample in kept],
        "threads": [float(sample.threads) for sample in kept],
        "seconds, of the stage's median": within_stages(kept),
    }
    table = Table(title=f"Epochs {kept[0].epoch + 1} to {kept[-1].epoch + 1}")
    table.add_column("")
    for column in ("first", "last", "slope over 100 epochs", "95 % interval"):
        table.add_column(column, justify="right")
    for name, values in columns.items():
        found, low, high = slope_interval(epochs, np.asarray(values))
        ends = (f"{values[place]:.2f}" for place in (0, -1))
        low, high = (f"{round(end, 2) + 0:.2f}" for end in (low, high))
        table.add_row(name, *ends, f"{round(found, 2) + 0:.2f}", f"{low} to {high}")
    return table


def write_csv(path: Path, samples: Sequence[Sample]) -> None:
    """Writes a line for each epoch."""
    with path.open("w", encoding="utf-8", newline="") as file:
        names = [field.name for field in dataclasses.fields(Sample)]
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(dataclasses.asdict(sample) for sample in samples)


def main() -> None:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--csv", type=Path, help="Where every epoch's line goes.")
    parser.add_argument(
        "--trim",
        action="store_true",
        help="Have the heap give back what is free before each look: what still grows "
        "is in use, not scattered.",
    )
    args = parser.parse_args()
    watch = Watch(trim=args.trim)
    with tempfile.TemporaryDirectory() as folder:
        config = GLYPHS.replace(
            num_epochs=args.epochs,
            full_embedding_epoch=args.epochs // 2,
            finetune_epoch=args.epochs * 3 // 4,
            log_dir=folder,
        )
        train(config, [watch], Display(quiet=True))
    if args.csv:
        write_csv(args.csv, watch.samples)
    print_machine(make_table(watch.samples))


if __name__ == "__main__":
    main()
