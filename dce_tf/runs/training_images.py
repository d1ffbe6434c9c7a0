"""The images of a training split, for what is learned from them after the training."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dce_tf.base.errors import first_line
from dce_tf.base.program import PROGRAM
from dce_tf.config import Config
from dce_tf.export.whitening import check_count
from dce_tf.images import preprocessing
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.places import PlaceHead
from dce_tf.reports.display import Display
from dce_tf.runs.broken import known_broken
from dce_tf.runs.loading import read_splits
from dce_tf.runs.places import learn_places
from dce_tf.runs.session import build_extractor


@dataclasses.dataclass(frozen=True)
class TrainingImages:
    """Reads the split when something is learned from it.

    Attributes:
        config: Names the data set.
        bad_images_file: The list of broken images, which are left out; None if there
            is none.
    """

    config: Config
    bad_images_file: Path | None = None

    @property
    def paths(self) -> list[str]:
        """The image files."""
        train = read_splits(self.config.data).train
        broken = (self.bad_images_file and known_broken(self.bad_images_file)) or {}
        return [path for path in train.paths if path not in broken]

    def draw(self, count: int) -> Any:
        """Draws images, the same ones each time.

        Args:
            count: How many; all of them where there are not as many.

        Returns:
            float32 `(images, image_size, image_size, 3)`, 0 to 255.

        Raises:
            ValueError: If one cannot be decoded.
        """
        paths, size = self.paths, self.config.data.image_size
        order = np.random.default_rng(0).permutation(len(paths))[:count]
        return np.stack([_read(paths[row], size) for row in order])

    def features(self, model: EmbeddingModel) -> Any:
        """Returns the features of all images, float32 `(num_images, feature_dim)`.

        Raises:
            ValueError: If there are no more of them than the embedding has numbers, or
                one cannot be decoded.
        """
        paths = self.paths
        check_count(len(paths), model.embedding.units)
        display = Display()
        with _explained(), display.task("training images", len(paths)) as update:
            return build_extractor(model, self.config.data).features(
                paths, lambda done: update(done, "")
            )

    def places(self, model: EmbeddingModel) -> PlaceHead:
        """Learns what places are compared by; see `export.places.fit_places`.

        Raises:
            UsageError: If the model has no places.
            ValueError: If there are no images, or one cannot be decoded.
        """
        with _explained():
            return learn_places(model, self.config.data, self.paths)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Says of an image that cannot be decoded what to do."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"A training image cannot be decoded: {first_line(error)}. `{PROGRAM} "
            "data` lists those that are broken. Mend or remove them."
        ) from error


def _read(path: str, image_size: int) -> Any:
    try:
        picture = preprocessing.open_picture(Path(path).read_bytes())
        return preprocessing.evaluation_image(picture, image_size)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"{path} cannot be decoded: {first_line(error)}. Mend or remove it."
        ) from error
