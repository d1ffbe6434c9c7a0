"""Embedding with a `.keras` file: a model of this program, or any plain one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.config import Config, DataSettings
from dce_tf.evaluation.evaluator import Embedder, Embeddings
from dce_tf.network.backbones.model_file import read_model
from dce_tf.network.model import EmbeddingModel
from dce_tf.runs.session import build_extractor
from dce_tf.training.pipelines import EvaluationPipelines, PictureReader

_EXPECTED = "expected one input of RGB images, (batch, height, width, 3)"


class ModelFile:
    """A `.keras` file, read when it is first needed.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def model(self) -> keras.Model:
        """The model in it.

        Raises:
            ValueError: If it cannot be read, or does not take images.
        """
        model = read_model(self._path, str(self._path))
        if self._shape_of(model) is None:
            shapes = [tuple(each.shape) for each in _inputs(model)]
            raise ValueError(
                f"{self._path}: {_EXPECTED}, found {shapes or 'a model not yet built'}."
            )
        return model

    def image_size(self) -> int | None:
        """Returns the side of the images it takes, or None if it takes any.

        Raises:
            ValueError: As `model`, or if the sides are fixed and differ.
        """
        shape = self._shape_of(self.model)
        sides = {side for side in (shape or ())[1:3] if side is not None}
        if len(sides) > 1:
            raise ValueError(
                f"{self._path} takes images of {shape}; expected a square, as images "
                "are cut to one."
            )
        return sides.pop() if sides else None

    def open(self, config: Config, reader: PictureReader) -> Embedder:
        """Returns what embeds images.

        Raises:
            UsageError: If the model takes images of another size than the settings say.
            ValueError: As `model`, or if it does not return one vector, map or set of
                tokens for each image.
        """
        size = self.image_size()
        if size not in (None, config.data.image_size):
            raise UsageError(
                f"--image_size={config.data.image_size}: {self._path} takes images of "
                f"{size} × {size} only. Pass --image_size={size}, or leave it out."
            )
        if isinstance(self.model, EmbeddingModel):
            return build_extractor(self.model, config.data, reader)
        return PlainEmbedder(self.model, config.data, reader, str(self._path))

    def _shape_of(self, model: keras.Model) -> tuple[int | None, ...] | None:
        inputs = _inputs(model)
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            return None
        shape = tuple(inputs[0].shape)
        return shape if shape[-1] in (3, None) else None


def _inputs(model: keras.Model) -> list[Any]:
    if isinstance(model, EmbeddingModel):
        model = model.backbone
    try:
        return list(model.inputs or ())
    except AttributeError:  # A Sequential that was not built.
        return []


class PlainEmbedder:
    """Embeds with any Keras model from 0–255 RGB; see `evaluation.evaluator.Embedder`.

    Maps and tokens are averaged to vectors, in float32. Vectors are left at their
    length: comparing is not its task.

    Args:
        model: From images `(batch, height, width, 3)` to `(batch, channels)`, `(batch,
            tokens, channels)` or `(batch, height, width, channels)`, of any dtype.
        data: How images are read.
        reader: Where pictures come from.
        name: What the model is called in an error.

    Raises:
        ValueError: If the model returns something else.
    """

    def __init__(
        self, model: keras.Model, data: DataSettings, reader: PictureReader, name: str
    ) -> None:
        self._pipelines = EvaluationPipelines(
            data.image_size,
            data.evaluation_batch_size,
            data.num_workers,
            reader,
        )
        dtype = tf.as_dtype(model.inputs[0].dtype)

        @tf.function(autograph=False)
        def embed(images: Any) -> Any:
            images = tf.round(images) if dtype.is_integer else images
            output = model(tf.cast(images, dtype), training=False)
            return _as_vectors(output, name)

        self._embed = embed
        side = data.image_size
        # Here, not after every image was read.
        embed.get_concrete_function(tf.TensorSpec((None, side, side, 3)))

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> Embeddings:
        """Returns embeddings, float32 `(num_images, channels)`."""
        parts, done = [], 0
        for images in self._pipelines.build(paths):
            parts.append(self._embed(images).numpy())
            done = min(done + len(parts[-1]), len(paths))
            on_batch(done)
        return np.concatenate(parts)[: len(paths)]


def _as_vectors(output: Any, name: str) -> Any:
    """Returns a model's output as vectors, float32 `(batch, channels)`."""
    is_tensor = tf.is_tensor(output)
    if not is_tensor or len(output.shape) not in (2, 3, 4) or output.shape[-1] == 1:
        found = tuple(output.shape) if is_tensor else f"a {type(output).__name__}"
        raise ValueError(
            f"{name} returns {found}; expected one vector, feature map or set of "
            "tokens per image: (batch, channels), (batch, height, width, channels) or "
            "(batch, tokens, channels), of two channels or more. Cut the model with "
            "keras.Model(model.inputs, LAYER.output)."
        )
    vectors = tf.cast(output, tf.float32)
    places = list(range(1, len(output.shape) - 1))
    return tf.reduce_mean(vectors, axis=places) if places else vectors
