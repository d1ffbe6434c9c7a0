"""What a network sees at each place of an image, for a second look at a match.

An embedding sums an image up; two images of one thing also agree in its parts. Those
are taken from deeper than edges and before the last, coarse map, where Cao, Araujo and
Sim ("Unifying deep local and global features for image search", ECCV 2020) take theirs.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from dce_tf.base.errors import UsageError
from dce_tf.network.model import EmbeddingModel

MOST_PLACES = 256
"""A finer grid is averaged."""

LARGEST = 127
"""What 1 is as a number of 8 bits."""


def why_no_places(model: Any) -> str | None:
    """Returns why a model has no places to compare, or None if it has.

    Args:
        model: Any Keras model.
    """
    if not isinstance(model, EmbeddingModel):
        return f"a {type(model).__name__} may be anything; dce_tf.EmbeddingModel is not"
    if model.pool is None:
        return (
            "its backbone gives one vector for an image, not a map or tokens; save the "
            "backbone as it is before it pools"
        )
    return None


class PlaceFeatures:
    """Computes what is at each place of images.

    Args:
        model: Built; its backbone gives a map or tokens.
        image_size: Side of its images in pixels.

    Raises:
        UsageError: If it gives neither.
    """

    def __init__(self, model: EmbeddingModel, image_size: int) -> None:
        if reason := why_no_places(model):
            raise UsageError(f"There is no second look with this model: {reason}.")
        self._network = _network_to_places(model.backbone, image_size)
        self.dim = int(self._network.output_shape[-1])

    def __call__(self, images: Any) -> Any:
        """Returns the features of places.

        Args:
            images: Float tensor `(batch, height, width, 3)`, 0 to 255, RGB.

        Returns:
            float32 tensor `(batch, places, dim)`.
        """
        maps = ops.cast(self._network(images, training=False), "float32")
        if len(maps.shape) == 3:  # Tokens, after those that stand for no place.
            side = math.isqrt(maps.shape[1])
            tokens = maps[:, maps.shape[1] - side**2 :]
            maps = ops.reshape(tokens, (-1, side, side, maps.shape[2]))
        while maps.shape[1] * maps.shape[2] > MOST_PLACES:
            maps = ops.average_pool(maps, 2, padding="same")
        return ops.reshape(maps, (-1, maps.shape[1] * maps.shape[2], maps.shape[3]))


class PlaceHead:
    """Turns the features of places into short codes that can be compared.

    Args:
        features: Computes them.
        mean: float `(dim,)`.
        turn: float `(dim, kept)`: `(feature − mean) · turn` has the same variance
            along each axis.

    Attributes:
        kept: Numbers of a code.
        digest: Number of a code's numbers, and SHA-256 of `mean` and `turn`: codes
            of two that differ cannot be compared.
    """

    def __init__(
        self,
        features: PlaceFeatures,
        mean: npt.NDArray[np.floating[Any]],
        turn: npt.NDArray[np.floating[Any]],
    ) -> None:
        self._features = features
        turned = np.asarray(turn, np.float32), np.asarray(-mean @ turn, np.float32)
        self._turn, self._shift = map(ops.convert_to_tensor, turned)
        self.kept = turn.shape[1]
        joined = b"".join(each.tobytes() for each in turned)
        self.digest = f"{self.kept}-{hashlib.sha256(joined).hexdigest()}"

    def __call__(self, images: Any) -> Any:
        """Returns the codes of places.

        Args:
            images: Float tensor `(batch, height, width, 3)`, 0 to 255, RGB.

        Returns:
            int8 tensor `(batch, places, kept)`: of length 127, but for rounding.
        """
        turned = ops.matmul(self._features(images), self._turn) + self._shift
        lengths = ops.sqrt(ops.sum(ops.square(turned), axis=-1, keepdims=True))
        unit = turned / ops.maximum(lengths, 1e-12)
        return ops.cast(ops.round(LARGEST * unit), "int8")


def _network_to_places(backbone: keras.Model, image_size: int) -> keras.Model:
    if len(backbone.output_shape) == 4:
        found = _finer(backbone, image_size)
        if found is not None:
            return keras.Model(backbone.input, found)
    return backbone


def _finer(model: keras.Model, image_size: int) -> Any:
    """Returns the last map finer than a network's own, of a sum if there is one.

    None if there is none.
    """
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        within = _finer(last, image_size)
        if within is None:
            return None
        # The network as it is used here, after what prepares its images.
        (given,) = last._inbound_nodes[-1].input_tensors
        return keras.Model(last.input, within)(given)
    layers = [layer for layer in model.layers if _has_map(layer)]
    outputs = [layer.output for layer in layers]
    specs = keras.Model(model.input, outputs).compute_output_spec(
        keras.KerasTensor((1, image_size, image_size, 3))
    )
    places = [spec.shape[1] * spec.shape[2] for spec in keras.tree.flatten(specs)]
    # Padding adds a few places; a map of every second pixel is hardly more than pixels.
    finer = [each for each in places if 2 * places[-1] < each <= image_size**2 // 16]
    if not finer:
        return None
    found = [
        (isinstance(layer, keras.layers.Add), number)
        for number, layer in enumerate(layers)
        if places[number] == min(finer)
    ]
    return outputs[max(found)[1]]


def _has_map(layer: keras.layers.Layer) -> bool:
    try:
        return len(layer.output.shape) == 4
    except (AttributeError, ValueError):  # It has no output, or several.
        return False
