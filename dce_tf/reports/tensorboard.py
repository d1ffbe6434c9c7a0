"""Event files and the projector's folder, as TensorBoard reads them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.projector import ProjectorConfig

from dce_tf.base.files import replacing, write_text
from dce_tf.reports.thumbnails import sprite


class TensorBoardWriter:
    """Writes what TensorBoard shows of a run.

    Steps are epochs trained: 0 is before training.

    Args:
        folder: Where the event files go; an earlier process may have written there.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers by tag."""
        with self._writer.as_default(step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Writes a text."""
        with self._writer.as_default(step):
            tf.summary.text(tag, markdown)

    def image(self, tag: str, picture: npt.NDArray[np.uint8], step: int) -> None:
        """Writes a picture, uint8 `(height, width, 3)`."""
        with self._writer.as_default(step):
            tf.summary.image(tag, picture[np.newaxis])

    def histogram(self, tag: str, values: npt.NDArray[np.float32], step: int) -> None:
        """Writes a histogram."""
        with self._writer.as_default(step):
            tf.summary.histogram(tag, values, buckets=50)

    def hparams(
        self, name: str, settings: Mapping[str, Any], scores: Mapping[str, float]
    ) -> None:
        """Writes the settings of a run beside its scores, for the HParams tab.

        Which settings and scores there are is not written: from all runs together
        TensorBoard then finds out which settings vary, and shows those first.
        """
        shown = {key: value for key, value in settings.items() if value is not None}
        with self._writer.as_default(0):
            hparams.hparams(shown, trial_id=name)
            for tag, value in scores.items():
                tf.summary.scalar(tag, value)

    def flush(self) -> None:
        """Makes what was written visible."""
        self._writer.flush()

    def close(self) -> None:
        """Finishes the event file."""
        self._writer.close()


def write_projector(
    folder: Path,
    embeddings: npt.NDArray[np.float32],
    class_names: Sequence[str],
    thumbnails: npt.NDArray[np.uint8],
) -> None:
    """Writes what the Projector tab shows.

    Args:
        folder: The folder of the event files.
        embeddings: float32 `(num_images, embedding_dim)`.
        class_names: The class of each image.
        thumbnails: uint8 `(num_images, size, size, 3)`.
    """
    lines = ["\t".join(f"{value:.6g}" for value in row) + "\n" for row in embeddings]
    write_text(folder / "embeddings.tsv", "".join(lines))
    names = [" ".join(name.split()) or "–" for name in class_names]
    write_text(folder / "metadata.tsv", "".join(f"{name}\n" for name in names))
    with replacing(folder / "sprite.png") as temporary:
        buffer = io.BytesIO()
        Image.fromarray(sprite(thumbnails)).save(buffer, "PNG")
        temporary.write_bytes(buffer.getvalue())
    config = ProjectorConfig()
    shown = config.embeddings.add(
        tensor_name="embedding of the gallery",
        tensor_path="embeddings.tsv",
        metadata_path="metadata.tsv",
        tensor_shape=embeddings.shape,
    )
    shown.sprite.image_path = "sprite.png"
    shown.sprite.single_image_dim.extend(thumbnails.shape[1:3])
    write_text(folder / "projector_config.pbtxt", str(config))
