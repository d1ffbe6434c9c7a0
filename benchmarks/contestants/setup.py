"""What every contestant of one comparison has in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Run = Callable[[int], None]  # Runs a number of steps.


@dataclasses.dataclass(frozen=True)
class Setup:
    """The work.

    Attributes:
        network: `"resnet50"`, `"efficientnet_lite0"` or `"small"`.
        image_size: Side of an image in pixels.
        batch_size: Images per step, four of each class.
        weights: A `.keras` file of the backbone; random ones if None.
        embedding_dim: Width of the embedding.
        precision: `"float32"`, `"bfloat16"` or `"float16"`, of the network.
        jit: Compile with XLA, where the contestant can.
    """

    network: str
    image_size: int
    batch_size: int
    weights: str | None = None
    embedding_dim: int = 128
    precision: str = "float32"
    jit: bool = False

    def draw(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Returns a batch of noise, 0 to 255, channels last, and its labels."""
        shape = (self.batch_size, self.image_size, self.image_size, 3)
        images = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        return images, (np.arange(self.batch_size) // 4).astype(np.int32)
