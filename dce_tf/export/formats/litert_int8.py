"""LiteRT in whole numbers of eight bits: a quarter of the size, and faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.export.agreement import Vectors
from dce_tf.export.embedder import ServableEmbedder
from dce_tf.export.formats import EXPORT_FORMATS
from dce_tf.export.formats.litert import LiteRT

CALIBRATION_IMAGES = 128
SAMPLE_IMAGES = 32
LOWEST_MEAN = 0.95

RealImages = Callable[[int], Vectors]


@EXPORT_FORMATS.register("litert_int8")
class LiteRTInt8(LiteRT):
    """One file `model.tflite`, calibrated on images of the training split.

    Input and output stay float32. The embedding has unit length up to about 1 %: scale
    it before dot products are compared.

    Args:
        real_images: From a number to that many images like those the model will see,
            float32 `(images, image_size, image_size, 3)`, 0 to 255; the first ones of a
            larger number are those of a smaller.
    """

    name = "litert_int8"
    precisions = ("int8",)

    def __init__(self, real_images: RealImages | None = None) -> None:
        super().__init__()
        if real_images is None:
            raise UsageError(
                "--format=litert_int8 is calibrated on images like those the model "
                "will see, and a .keras file has none. Export a run, or pass --dataset "
                "and --data_dir."
            )
        drawn = real_images(CALIBRATION_IMAGES + SAMPLE_IMAGES)
        kept = max(1, len(drawn) - SAMPLE_IMAGES)
        self._calibration, self._sample = drawn[:kept], drawn[-SAMPLE_IMAGES:]

    def _configure(self, converter: Any, precision: str) -> None:
        del precision
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = self._examples

    def _examples(self) -> Iterator[dict[str, Vectors]]:
        for image in self._calibration:
            yield {"images": image[None]}

    def sample_images(self, image_size: int) -> Vectors:
        """Returns images it was not calibrated on, where there are enough."""
        del image_size
        return self._sample

    def lowest_agreement(self, embedder: ServableEmbedder) -> dict[str, float]:
        """Returns a bound on the mean: single images lose more."""
        del embedder
        return {"mean_cosine": LOWEST_MEAN}
