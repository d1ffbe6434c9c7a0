"""The most host memory that a run on an SOP-sized list has at a time.

    python -m benchmarks.memory --data_dir=GROCERY [--listed 59551] [--epochs 2]

As many images to train on and to test with as SOP has, of few files, with made-up
labels: that decides what lists, features, divisions and the evaluation take. The
network is a narrow one with the 2,048 features of a ResNet-50, at 32 px: what its
activations take is on the GPU where there is one. K = 8, each epoch divides.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import keras
from rich.table import Table

from benchmarks import photographs
from benchmarks.epoch import run_ours
from benchmarks.timing import print_machine
from dce_tf.network.backbones import build_backbone

FEATURES = 2048
LISTED, CLASSES = 59_551, 11_318
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "--cluster_features=running": {"cluster_features": "running"},
    "--features_dir --kmeans_points=20000": {"kmeans_points": 20_000},
}


def write_backbone(file: Path) -> Path:
    """Writes `small` with as many features as a ResNet-50."""
    small = build_backbone("small")
    features = keras.layers.Conv2D(FEATURES, 1, activation="relu")(small.output)
    keras.Model(small.input, features).save(file)
    return file


def run(way: str, data_dir: Path, folder: Path, num_epochs: int) -> dict[str, Any]:
    """Trains; returns what `benchmarks.our_run` prints."""
    shared = {
        "data_dir": str(data_dir),
        "image_size": 32,
        "num_clusters": 8,
        "num_epochs": num_epochs,
        "full_embedding_epoch": num_epochs,
        "finetune_epoch": num_epochs,
        "recluster_every": 1,
        **WAYS[way],
    }
    if way.startswith("--features_dir"):
        shared["features_dir"] = str(folder / "features")
    return run_ours(shared, folder / "backbone.keras", folder)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, help="The grocery photographs.")
    parser.add_argument("--listed", type=int, default=LISTED, help="Of each split.")
    parser.add_argument("--epochs", type=int, default=2)
    args = parser.parse_args()
    table = Table(title=f"{args.listed:,} images per split, {FEATURES:,} features")
    table.add_column("")
    for column in ("peak MB", "whole run s"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classes = max(2, args.listed * CLASSES // LISTED)
        data_dir = photographs.write_long_list(
            Path(args.data_dir), folder, args.listed, classes
        )
        write_backbone(folder / "backbone.keras")
        for way in WAYS:
            facts = run(way, data_dir, folder, args.epochs)
            figures = (facts["peak_mb"], facts["whole"])
            table.add_row(way, *(f"{figure:,.0f}" for figure in figures))
    print_machine(table)


if __name__ == "__main__":
    main()
