"""The layer the method is named after, and one that prepares images."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.applications import imagenet_utils


@keras.saving.register_keras_serializable(package="dce_tf")
class DivideConquerEmbedding(keras.layers.Layer):
    """Projects features onto an embedding made of equal, independent learners.

    The columns of the projection are cut into `num_learners` runs of the same width.
    Each run is initialised and scaled to unit length by itself, so no learner can
    drown out another when the whole vector is compared by Euclidean distance
    (Sanakoyeu et al., CVPR 2019, section 3.3). With `num_learners=1` this is the
    plain linear embedding.

    Args:
        units: Width of the whole embedding; a multiple of `num_learners`.
        num_learners: How many learners share it. 1 is the plain baseline.

    Call arguments:
        features: Float tensor of shape `(batch, feature_dim)`.
        learner: Integer scalar tensor, 0 to `num_learners` − 1: return only the part
            of this learner. None returns the whole embedding. Give a tensor, not a
            Python number: a `tf.function` is then traced once for all learners.

    Returns:
        float32 tensor of unit length: shape `(batch, units)`, or `(batch, units //
        num_learners)` for one learner.

    Raises:
        ValueError: If `units` is not a positive multiple of `num_learners`.
    """

    def __init__(self, units: int, num_learners: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_learners < 1 or units < 1 or units % num_learners:
            raise ValueError(
                "`units` must be a positive multiple of `num_learners`. "
                f"Received: units={units}, num_learners={num_learners}."
            )
        self.units = units
        self.num_learners = num_learners

    @property
    def learner_units(self) -> int:
        """Width of one learner."""
        return self.units // self.num_learners

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        feature_dim = input_shape[-1]
        if feature_dim is None:
            raise ValueError(f"The last axis of `features` is unknown: {input_shape}.")
        # Glorot's variance for a layer as wide as one learner, not as the whole.
        deviation = (2 / (feature_dim + self.learner_units)) ** 0.5
        limit = feature_dim**-0.5
        self.kernel = self.add_weight(
            shape=(feature_dim, self.units),
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.units,),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="bias",
        )

    def call(self, features: Any, learner: Any = None) -> Any:
        if learner is not None:
            kernel, bias = self._part(learner)
            return _unit_length(ops.matmul(features, kernel) + bias)
        whole = ops.matmul(features, self.kernel) + self.bias
        parts = ops.reshape(whole, (-1, self.num_learners, self.learner_units))
        parts = _unit_length(parts) / self.num_learners**0.5
        return ops.reshape(parts, (-1, self.units))

    def _part(self, learner: Any) -> tuple[Any, Any]:
        start = ops.cast(learner, "int32") * self.learner_units
        feature_dim = self.kernel.shape[0]
        kernel = ops.slice(self.kernel, (0, start), (feature_dim, self.learner_units))
        return kernel, ops.slice(self.bias, (start,), (self.learner_units,))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "units": self.units, "num_learners": self.num_learners}


@keras.saving.register_keras_serializable(package="dce_tf")
class ImageNetPreprocessing(keras.layers.Layer):
    """Turns 0–255 RGB into what a network of `keras.applications` was trained on.

    Args:
        mode: `"caffe"` (BGR, mean subtracted), `"tf"` (−1 to 1) or `"torch"` (mean
            subtracted, divided by the deviation).

    Call arguments:
        images: Float tensor of shape `(batch, height, width, 3)`, 0 to 255, RGB.

    Returns:
        Float tensor of the same shape.
    """

    def __init__(self, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, images: Any) -> Any:
        return imagenet_utils.preprocess_input(
            images, data_format="channels_last", mode=self.mode
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode}


def _unit_length(x: Any) -> Any:
    x = ops.cast(x, "float32")
    squared = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squared, 1e-12))
