"""What a run costs by a table of measured speeds: rough, but known before it."""

from __future__ import annotations

import dataclasses
import math

from dce_tf.record import format_seconds


@dataclasses.dataclass(frozen=True)
class Cost:
    """What was measured of a network, on two processor cores.

    Attributes:
        name: What people call it.
        image_size: Side of the images, in pixels.
        trained: Images trained on per second.
        embedded: Images embedded per second.
        gigabytes: Memory of a whole run.
    """

    name: str
    image_size: int
    trained: float
    embedded: float
    gigabytes: float


CORES = 2
PRETRAINED = Cost("EfficientNet-Lite0", 128, 190, 965, 3.5)
"""docs/performance.md, "A step", and the memory of `--profile=best`."""
SMALL = Cost("four convolutions", 48, 1000, 4000, 1.45)
"""Whole runs on glyphs, docs/ablation-2026-11-25.csv, and the memory of its recipe."""

_START_SECONDS = 40.0  # Loading, compiling, exporting, the index; of a small run.
_READ_IMAGES = 2500.0  # Per second, small ones; docs/performance.md, "Input".
_DECODED_MEGAPIXELS = 700.0  # Per second; there, too.


@dataclasses.dataclass(frozen=True)
class Work:
    """How much is to be done.

    Attributes:
        trained: Images to train on, each as often as it comes.
        embedded: Images to embed, for evaluation and the index.
        image_size: Side of the images for the network, in pixels.
        megapixels: Of an image file.
        cached: Whether images are decoded once.
        num_images: How many image files there are.
    """

    trained: int
    embedded: int
    image_size: int
    megapixels: float
    cached: bool
    num_images: int


def estimate_seconds(work: Work, cost: Cost, cores: int) -> float:
    """Returns about how long it takes.

    Args:
        work: What is to be done.
        cost: Of the network.
        cores: Processor cores of this machine.
    """
    area = (work.image_size / cost.image_size) ** 2
    network = area * (work.trained / cost.trained + work.embedded / cost.embedded)
    reads = work.num_images if work.cached else work.trained + work.embedded
    reading = reads * (1 / _READ_IMAGES + work.megapixels / _DECODED_MEGAPIXELS)
    return _START_SECONDS + (network + reading) * CORES / max(1, cores)


def describe_estimate(seconds: float, cost: Cost, *, has_gpu: bool) -> str:
    """Returns a sentence on what a run costs."""
    measured = f"{cost.name} on {CORES} processor cores"
    gpu = " With the GPU here it takes less." if has_gpu else ""
    return (
        f"About {round_seconds(seconds)} and {cost.gigabytes:g} GB of memory: a rough "
        f"estimate, from what was measured with {measured}.{gpu}"
    )


def round_seconds(seconds: float) -> str:
    """Returns a duration that is known roughly, such as `12 min`."""
    if seconds < 90:
        return f"{max(10, 10 * math.ceil(seconds / 10))} s"
    if seconds < 5400:
        return f"{math.ceil(seconds / 60)} min"
    return format_seconds(600 * math.ceil(seconds / 600))
