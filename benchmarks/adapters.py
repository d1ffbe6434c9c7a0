"""What low-rank adapters save in memory and time, against training all weights.

    python -m benchmarks.adapters [--backbone FILE.keras] [--image_size 128]
        [--rank 8] [--batch 40] [--steps 10] [--rounds 3]

Trains with multi-similarity on noise: the whole network, the embedding alone on the
frozen network, and adapters, in turn, each time in a process of its own. Printed are
the medians over the rounds: the weights that train, images per second of the median
step, without the first, and the most memory that the process had, of which TensorFlow
alone takes some hundred MB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics

import numpy as np
from rich.table import Table

from benchmarks.fitting import seconds_per_step
from benchmarks.timing import peak_memory, print_machine

WAYS = ("all", "adapters", "frozen")


def train(
    way: str, backbone: str, image_size: int, rank: int, batch: int, steps: int
) -> tuple[float, float, float]:
    """Trains some steps one way.

    Returns:
        The weights that train, images per second, and the memory in MB.
    """
    import dce_tf
    from dce_tf.network.backbones import build_backbone
    from dce_tf.network.backbones.adapters import add_adapters

    network = build_backbone(backbone, image_size=image_size)
    if way == "adapters":
        add_adapters(network, rank)
    elif way == "frozen":
        network.trainable = False
    model = dce_tf.EmbeddingModel(network, dce_tf.DivideConquerEmbedding(128))
    model.build((None, image_size, image_size, 3))
    model.compile("adam", dce_tf.MultiSimilarityLoss())
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    rate = batch / seconds_per_step(model, image_size, batch, steps)
    return trained, rate, peak_memory()


def main() -> None:
    """Trains each way in turn, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="efficientnetb0(weights=None)")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    measured: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
    setting = (asked.backbone, asked.image_size, asked.rank, asked.batch, asked.steps)
    for _ in range(asked.rounds):
        for way in WAYS:
            with context.Pool(1) as pool:
                measured[way].append(pool.apply(train, (way, *setting)))
    table = Table(
        title=f"{asked.backbone} at {asked.image_size} pixels, batches of "
        f"{asked.batch}, rank {asked.rank}"
    )
    for heading in ("what trains", "weights", "images/s", "MB"):
        table.add_column(heading, justify="right")
    for way, rounds in measured.items():
        columns = zip(*rounds, strict=True)
        weights, rate, memory = (statistics.median(each) for each in columns)
        table.add_row(way, f"{weights:,.0f}", f"{rate:.1f}", f"{memory:.0f}")
    print_machine(table)


if __name__ == "__main__":
    main()
