"""The layer the method is named after, and one that prepares images."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from keras.applications import imagenet_utils

from dce_tf.batch.distances import unit_length

PARTS = ("slices", "nested", "masks", "fixed_masks", "heads")


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
    - `"nested"`: the learner's slice and all before it, so that the first numbers of
      the embedding serve alone (Kusupati et al., Matryoshka Representation Learning,
      NeurIPS 2022). The last learner's part is the whole embedding.
    - `"heads"`: each learner has a projection of its own, wider or narrower than the
      embedding, which nothing but training uses: `--train=learner+whole` lets it teach
      the embedding (Roth et al., S2SD, ICML 2021; Ypsilantis et al., UDON, NeurIPS
      2024).

    With `num_learners=1` this is the plain linear embedding.

    Args:
        units: Width of the whole embedding; a multiple of `num_learners`, except with
            trained masks and heads.
        num_learners: How many learners share it. 1 is the plain baseline.
        parts: `"slices"`, `"nested"`, `"masks"`, `"fixed_masks"` or `"heads"`.
        head_units: Width of each head; only for `"heads"`.
        keep_centroids: Keep the centroid of each learner's cluster as a weight that
            does not train, for what looks how near an image is to them.

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
        self,
        units: int,
        num_learners: int = 1,
        parts: str = "slices",
        *,
        head_units: int = 0,
        keep_centroids: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if parts not in PARTS:
            raise ValueError(
                f"`parts` must be one of {', '.join(PARTS)}. Received: {parts!r}."
            )
        free = parts in ("masks", "heads") or num_learners < 1
        uneven = 0 if free else units % num_learners
        if num_learners < 1 or units < 1 or uneven:
            raise ValueError(
                "`units` must be a positive multiple of `num_learners`. "
                f"Received: units={units}, num_learners={num_learners}."
            )
        if (parts == "heads") != (head_units > 0):
            raise ValueError(
                "`head_units` is the width of the heads of parts='heads', and of "
                f"nothing else. Received: head_units={head_units}, parts={parts!r}."
            )
        self.units = units
        self.num_learners = num_learners
        self.parts = parts
        self.head_units = head_units
        self.keep_centroids = keep_centroids

    @property
    def learner_units(self) -> int:
        """Width of what the layer returns for one learner."""
        if self.parts == "heads":
            return self.head_units
        sliced = self.parts == "slices"
        return self.units // self.num_learners if sliced else self.units

    @property
    def raw_units(self) -> int:
        """Width of what `project` returns: the embedding, and the heads beside it."""
        return self.units + self.num_learners * self.head_units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        feature_dim = input_shape[-1]
        if feature_dim is None:
            raise ValueError(f"The last axis of `features` is unknown: {input_shape}.")
        # Glorot's variance for a layer as wide as one learner, not as the whole.
        width = self.units if self.parts == "heads" else self.learner_units
        deviation = (2 / (feature_dim + width)) ** 0.5
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
        if self.parts in ("masks", "fixed_masks", "nested"):
            self.masks = self.add_weight(
                shape=(self.num_learners, self.units),
                initializer="ones",
                trainable=self.parts == "masks",
                name="masks",
            )
        if self.parts in ("fixed_masks", "nested"):
            self.set_masks(self.num_learners)
        self.head_kernel: Any = None
        if self.parts == "heads":
            deviation = (2 / (feature_dim + self.head_units)) ** 0.5
            self.head_kernel = self.add_weight(
                shape=(feature_dim, self.num_learners * self.head_units),
                initializer=keras.initializers.RandomNormal(stddev=deviation),
                name="head_kernel",
            )
        self.centroids: Any = None
        if self.keep_centroids:
            self.centroids = self.add_weight(
                shape=(self.num_learners, feature_dim),
                initializer="zeros",
                trainable=False,
                name="centroids",
            )

    def call(self, features: Any, learner: Any = None) -> Any:
        if learner is None:
            return self.part(self._embed(features))
        return self.part(self.project(features), learner)

    def _embed(self, features: Any) -> Any:
        return ops.matmul(features, self.kernel) + self.bias

    def project(self, features: Any) -> Any:
        """Returns raw vectors, from which `part` takes the part of any learner.

        Args:
            features: Float tensor of shape `(batch, feature_dim)`.

        Returns:
            Float tensor of shape `(batch, raw_units)`.
        """
        whole = self._embed(features)
        if self.head_kernel is None:
            return whole
        return ops.concatenate([whole, ops.matmul(features, self.head_kernel)], axis=-1)

    def part(self, vectors: Any, learner: Any = None) -> Any:
        """Returns what is compared: a learner's part of raw vectors, or the whole.

        Args:
            vectors: Float tensor of shape `(n, raw_units)`; for the whole `(n, units)`
                is enough.
            learner: As in a call of the layer.

        Returns:
            float32 tensor of unit length, `(n, units)` or `(n, learner_units)`.
        """
        selected = self.select(vectors, learner)
        if self.parts != "slices" or learner is not None:
            return unit_length(selected)
        parts = ops.reshape(selected, (-1, self.num_learners, self.learner_units))
        parts = unit_length(parts) / self.num_learners**0.5
        return ops.reshape(parts, (-1, self.units))

    def select(self, vectors: Any, learner: Any = None) -> Any:
        """Returns the same as `part`, before it is scaled: linear in the raw vectors.

        Args:
            vectors: As of `part`.
            learner: As in a call of the layer.

        Returns:
            Float tensor `(n, units)` or `(n, learner_units)`.
        """
        if self.parts == "heads":
            return self._head(vectors, learner)
        if learner is None:
            return vectors
        if self.parts != "slices":
            mask = ops.relu(ops.take(self.masks, ops.cast(learner, "int32"), axis=0))
            return ops.cast(mask, vectors.dtype) * vectors
        start = ops.cast(learner, "int32") * self.learner_units
        extent = (ops.shape(vectors)[0], self.learner_units)
        return ops.slice(vectors, (0, start), extent)

    def _head(self, vectors: Any, learner: Any) -> Any:
        if learner is None:
            return vectors[:, : self.units]
        start = self.units + ops.cast(learner, "int32") * self.head_units
        return ops.slice(vectors, (0, start), (ops.shape(vectors)[0], self.head_units))

    def nearness(self, features: Any, temperature: float) -> Any:
        """Returns how near images are to the centroid of each learner's cluster.

        Args:
            features: Float tensor of shape `(batch, feature_dim)`.
            temperature: Divides the squared distances of unit vectors, 0 to 4.

        Returns:
            float32 `(batch, num_learners)`, rows that sum to 1.

        Raises:
            ValueError: If the layer keeps no centroids.
        """
        if not self.keep_centroids:
            raise ValueError("nearness needs keep_centroids=True.")
        centroids = ops.convert_to_tensor(self.centroids)
        cosines = ops.matmul(unit_length(features), ops.transpose(centroids))
        distances = ops.sum(ops.square(centroids), axis=1) - 2 * cosines
        # A cluster that was merged away has no centroid.
        there = ops.any(centroids != 0, axis=1)
        return ops.softmax(ops.where(there, -distances / temperature, -1e9))

    def mask_penalty(self, num_learners: Any = None, learner: Any = None) -> Any:
        """Returns the mean pairwise cosine of the masks, which drives them apart.

        Sanakoyeu et al., TPAMI 2021, section 3.4, in one matrix product.

        Args:
            num_learners: How many of the first learners; default: all.
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
        directions = unit_length(ops.relu(masks))
        cosines = ops.matmul(directions, ops.transpose(directions))
        there = ops.cast(ops.less(rows, num_learners), "float32")
        pairs = ops.outer(there, there) * (1 - ops.eye(self.num_learners))
        return ops.sum(cosines * pairs) / ops.maximum(ops.sum(pairs), 1.0)

    def set_masks(self, num_learners: int) -> None:
        """Cuts the embedding evenly among the first `num_learners` fixed masks.

        Nested ones reach from the first number on.

        Args:
            num_learners: A divisor of `units`; the other masks become ones.
        """
        width = self.units // num_learners
        owner = np.arange(self.units) // width
        masks = np.ones((self.num_learners, self.units), np.float32)
        learner = np.arange(num_learners)[:, None]
        masks[:num_learners] = (
            learner >= owner if self.parts == "nested" else learner == owner
        )
        self.masks.assign(masks)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "num_learners": self.num_learners,
            "parts": self.parts,
            "head_units": self.head_units,
            "keep_centroids": self.keep_centroids,
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

    least = 1e-6

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
        maps = ops.maximum(ops.cast(maps, "float32"), self.least)
        top = ops.stop_gradient(ops.max(maps, axis=places, keepdims=True))
        mean = ops.mean(ops.power(maps / top, self.p), axis=places)
        return ops.power(mean, 1 / self.p) * ops.squeeze(top, places)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "p": self.initial_p}
