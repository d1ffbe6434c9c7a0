"""The layer the method is named after, and one that prepares images."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from keras.applications import imagenet_utils

PARTS = ("slices", "masks", "fixed_masks")


@keras.saving.register_keras_serializable(package="dce_tf")
class DivideConquerEmbedding(keras.layers.Layer):
    """Projects features onto an embedding that several learners share.

    `parts` says what a learner's part is:

    - `"slices"`: the columns of the projection are cut into `num_learners` runs of the
      same width. Each run is initialised and scaled to unit length by itself, so no
      learner can drown out another when the whole vector is compared by Euclidean
      distance (Sanakoyeu et al., CVPR 2019, section 3.3).
    - `"masks"`: a trained mask weighs the components of the whole embedding:
      relu(mask) ⊙ embedding, then scaled to unit length. All masks start as ones
      (Sanakoyeu et al., TPAMI 2021, section 3.4).
    - `"fixed_masks"`: masks that are 1 on the learner's slice and 0 elsewhere, and do
      not train. `set_masks` changes them, for a division that grows.

    With `num_learners=1` this is the plain linear embedding.

    Args:
        units: Width of the whole embedding; a multiple of `num_learners`, except with
            trained masks.
        num_learners: How many learners share it. 1 is the plain baseline.
        parts: `"slices"`, `"masks"` or `"fixed_masks"`.

    Call arguments:
        features: Float tensor of shape `(batch, feature_dim)`.
        learner: Integer scalar tensor, 0 to `num_learners` − 1: return only the part
            of this learner. None returns the whole embedding. Give a tensor, not a
            Python number: a `tf.function` is then traced once for all learners.

    Returns:
        float32 tensor of unit length: shape `(batch, units)`, or `(batch,
        learner_units)` for one learner.

    Raises:
        ValueError: If `parts` is unknown, or `units` is not a positive multiple of
            `num_learners` where it must be.
    """

    def __init__(
        self, units: int, num_learners: int = 1, parts: str = "slices", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if parts not in PARTS:
            raise ValueError(
                f"`parts` must be one of {', '.join(PARTS)}. Received: {parts!r}."
            )
        uneven = units % num_learners if num_learners > 0 and parts != "masks" else 0
        if num_learners < 1 or units < 1 or uneven:
            raise ValueError(
                "`units` must be a positive multiple of `num_learners`. "
                f"Received: units={units}, num_learners={num_learners}."
            )
        self.units = units
        self.num_learners = num_learners
        self.parts = parts

    @property
    def learner_units(self) -> int:
        """Width of what the layer returns for one learner."""
        sliced = self.parts == "slices"
        return self.units // self.num_learners if sliced else self.units

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
        self.masks: Any = None
        if self.parts != "slices":
            self.masks = self.add_weight(
                shape=(self.num_learners, self.units),
                initializer="ones",
                trainable=self.parts == "masks",
                name="masks",
            )
        if self.parts == "fixed_masks":
            self.set_masks(self.num_learners)

    def call(self, features: Any, learner: Any = None) -> Any:
        whole = ops.matmul(features, self.kernel) + self.bias
        return self.part(whole, learner)

    def part(self, vectors: Any, learner: Any = None) -> Any:
        """Returns what is compared: a learner's part of raw vectors, or the whole.

        Args:
            vectors: Float tensor of shape `(n, units)`.
            learner: As in a call of the layer.

        Returns:
            float32 tensor of unit length, `(n, units)` or `(n, learner_units)`.
        """
        if self.parts != "slices":
            if learner is None:
                return _unit_length(vectors)
            mask = ops.relu(ops.take(self.masks, ops.cast(learner, "int32"), axis=0))
            return _unit_length(ops.cast(mask, vectors.dtype) * vectors)
        if learner is not None:
            start = ops.cast(learner, "int32") * self.learner_units
            extent = (ops.shape(vectors)[0], self.learner_units)
            return _unit_length(ops.slice(vectors, (0, start), extent))
        parts = ops.reshape(vectors, (-1, self.num_learners, self.learner_units))
        parts = _unit_length(parts) / self.num_learners**0.5
        return ops.reshape(parts, (-1, self.units))

    def mask_penalty(self, num_learners: Any = None, learner: Any = None) -> Any:
        """Returns the mean pairwise cosine of the masks, which drives them apart.

        Sanakoyeu et al., TPAMI 2021, section 3.4, in one matrix product.

        Args:
            num_learners: Only the first so many; default: all.
            learner: Integer scalar tensor: let the gradient reach its mask only.

        Returns:
            float32 scalar, 0 to 1; 0 for a single mask.

        Raises:
            ValueError: If the layer has no masks.
        """
        if self.masks is None:
            raise ValueError("mask_penalty needs parts='masks'; here are slices.")
        num_learners = self.num_learners if num_learners is None else num_learners
        rows = ops.arange(self.num_learners)
        masks = ops.convert_to_tensor(self.masks)
        if learner is not None:
            own = ops.expand_dims(ops.equal(rows, ops.cast(learner, rows.dtype)), 1)
            masks = ops.where(own, masks, ops.stop_gradient(masks))
        directions = _unit_length(ops.relu(masks))
        cosines = ops.matmul(directions, ops.transpose(directions))
        there = ops.cast(ops.less(rows, num_learners), "float32")
        pairs = ops.outer(there, there) * (1 - ops.eye(self.num_learners))
        return ops.sum(cosines * pairs) / ops.maximum(ops.sum(pairs), 1.0)

    def set_masks(self, num_learners: int) -> None:
        """Cuts the embedding evenly among the first `num_learners` fixed masks.

        Args:
            num_learners: A divisor of `units`; the other masks become ones.
        """
        width = self.units // num_learners
        owner = np.arange(self.units) // width
        masks = np.ones((self.num_learners, self.units), np.float32)
        masks[:num_learners] = np.arange(num_learners)[:, None] == owner
        self.masks.assign(masks)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "num_learners": self.num_learners,
            "parts": self.parts,
        }


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


@keras.saving.register_keras_serializable(package="dce_tf")
class GeneralizedMeanPooling(keras.layers.Layer):
    """Pools by a power mean whose exponent is trained.

    (mean of x^p)^(1/p) over all places: p = 1 is the average, large p nears the maximum
    (Radenović et al., TPAMI 2018, equation 3). Values below 1e-6 count as that.

    Args:
        p: The exponent to start from.

    Call arguments:
        maps: Float tensor of shape `(batch, ..., channels)`, none below 0.

    Returns:
        float32 tensor of shape `(batch, channels)`.
    """

    def __init__(self, p: float = 3.0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.initial_p = p

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        del input_shape
        constant = keras.initializers.Constant(self.initial_p)
        self.p = self.add_weight(shape=(), initializer=constant, name="p")

    def call(self, maps: Any) -> Any:
        # Divided by the maximum, no power overflows.
        places = tuple(range(1, len(maps.shape) - 1))
        maps = ops.maximum(ops.cast(maps, "float32"), 1e-6)
        top = ops.stop_gradient(ops.max(maps, axis=places, keepdims=True))
        mean = ops.mean(ops.power(maps / top, self.p), axis=places)
        return ops.power(mean, 1 / self.p) * ops.squeeze(top, places)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "p": self.initial_p}


def _unit_length(x: Any) -> Any:
    x = ops.cast(x, "float32")
    squared = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squared, 1e-12))
