"""What `--micro_batch_size` saves in memory, and costs in time.

    python -m benchmarks.micro_batch [--backbone FILE.keras] [--image_size 128]
        [--batches 80 320] [--sizes 0 40] [--steps 5]

Trains the whole network with multi-similarity on noise, each setting in a process of
its own. Printed are the seconds of the median step, without the first, and the most
memory that the process had, of which TensorFlow alone takes some hundred MB.
"""

from __future__ import annotations

import argparse
import multiprocessing

from rich.table import Table

from benchmarks.fitting import seconds_per_step
from benchmarks.timing import peak_memory, print_machine


def train(
    backbone: str, image_size: int, batch: int, size: int, steps: int
) -> tuple[float, float]:
    """Trains some steps; returns the seconds of one, and the memory in MB."""
    import dce_tf
    from dce_tf.network.backbones import build_backbone

    network = build_backbone(backbone, image_size=image_size)
    model = dce_tf.EmbeddingModel(network, dce_tf.DivideConquerEmbedding(128))
    model.build((None, image_size, image_size, 3))
    loss = dce_tf.MultiSimilarityLoss()
    model.compile("adam", loss, micro_batch_size=size)
    return seconds_per_step(model, image_size, batch, steps), peak_memory()


def main() -> None:
    """Trains with each setting, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="small")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[80, 320])
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 40])
    parser.add_argument("--steps", type=int, default=5)
    asked = parser.parse_args()
    table = Table(title=f"{asked.backbone} at {asked.image_size} pixels")
    for heading in ("batch", "micro-batch", "seconds per step", "images/s", "MB"):
        table.add_column(heading, justify="right")
    context = multiprocessing.get_context("spawn")
    for batch in asked.batches:
        for size in asked.sizes:
            given = (asked.backbone, asked.image_size, batch, size, asked.steps)
            with context.Pool(1) as pool:
                seconds, memory = pool.apply(train, given)
            cells = [f"{seconds:.2f}", f"{batch / seconds:.0f}", f"{memory:.0f}"]
            table.add_row(str(batch), str(size or "–"), *cells)
    print_machine(table)


if __name__ == "__main__":
    main()
