"""The metric losses of TensorFlow Addons, where it can be had.

TensorFlow Addons ended in May 2024 at 0.23, for Python up to 3.11, and does not import
with Keras 3. Its losses alone work: they are loaded without the rest of the package,
with a stand-in for the one module of Keras 2 they look for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from dce_tf.distances import label_masks, pairwise_distances
from dce_tf.errors import UsageError, first_line
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, mean_where
from dce_tf.losses.n_pairs import anchors_and_positives

_PACKAGE = "tensorflow_addons"
_KERAS_2 = ("keras.src.engine", "keras.src.engine.keras_tensor")


def _absent(ours: str, reason: str) -> UsageError:
    return UsageError(
        f"TensorFlow Addons cannot be used here: {reason}. It ended in May 2024 with "
        "version 0.23, for Python up to 3.11 and Keras 2; `pip install --no-deps "
        "tensorflow-addons typeguard==2.13.3` on Python 3.11 makes its losses work. "
        f"Ours is the same: --loss='{ours}'."
    )


@functools.cache
def _load(module: str) -> Any:
    """Imports one of its loss modules without running the package's `__init__`.

    Raises:
        ImportError: If it is not installed or does not fit this Python.
    """
    if _PACKAGE not in sys.modules:
        found = importlib.util.find_spec(_PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise ImportError("it is not installed")
        root = found.submodule_search_locations[0]
        for name in (_PACKAGE, f"{_PACKAGE}.losses"):
            package = types.ModuleType(name)
            package.__path__ = [root + name.removeprefix(_PACKAGE).replace(".", "/")]
            sys.modules[name] = package
    with _keras_2_stand_in():
        return importlib.import_module(f"{_PACKAGE}.losses.{module}")


@contextlib.contextmanager
def _keras_2_stand_in() -> Iterator[None]:
    names = [name for name in _KERAS_2 if name not in sys.modules]
    for name in names:
        stand_in: Any = types.ModuleType(name)
        stand_in.KerasTensor = type("KerasTensor", (), {})
        stand_in.keras_tensor = stand_in
        sys.modules[name] = stand_in
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


class AddonsLoss(MetricLoss):
    """A loss of TensorFlow Addons on the embeddings of a batch.

    Args:
        name: Of the layer.
        module: Of `tensorflow_addons.losses`.
        function: In it.
        ours: The loss here that is the same, for the message where it is missing.
        compute: From that function, embeddings and labels to the loss.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If TensorFlow Addons cannot be imported.
    """

    def __init__(
        self,
        name: str,
        module: str,
        function: str,
        ours: str,
        compute: Callable[[Any, Any, Any], Any],
    ) -> None:
        super().__init__(name=name)
        try:
            self._function = getattr(_load(module), function)
        except Exception as error:
            raise _absent(ours, first_line(error)) from error
        self._compute = compute

    def call(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner, seed
        return self._compute(self._function, embedding, labels)


@LOSSES.register("tfa_triplet_semihard")
def triplet_semihard(margin: float = 1.0) -> AddonsLoss:
    """Builds `tfa.losses.triplet_semihard_loss`; ours is `triplet`."""
    return AddonsLoss(
        "tfa_triplet_semihard",
        "triplet",
        "triplet_semihard_loss",
        f"triplet(margin={margin})",
        lambda function, x, labels: function(labels, x, margin=margin),
    )


@LOSSES.register("tfa_triplet_hard")
def triplet_hard(margin: float = 1.0, soft: bool = False) -> AddonsLoss:
    """Builds `tfa.losses.triplet_hard_loss`; ours is `triplet(kind='hard')`."""
    return AddonsLoss(
        "tfa_triplet_hard",
        "triplet",
        "triplet_hard_loss",
        f"triplet(margin={margin}, kind=hard, soft={soft})",
        lambda function, x, labels: function(labels, x, margin=margin, soft=soft),
    )


@LOSSES.register("tfa_lifted_struct")
def lifted_struct(margin: float = 1.0) -> AddonsLoss:
    """Builds `tfa.losses.lifted_struct_loss`; ours is `lifted_structure`."""
    return AddonsLoss(
        "tfa_lifted_struct",
        "lifted",
        "lifted_struct_loss",
        f"lifted_structure(margin={margin})",
        lambda function, x, labels: function(labels, x, margin=margin),
    )


@LOSSES.register("tfa_npairs")
def npairs(scale: float = 16.0) -> AddonsLoss:
    """Builds `tfa.losses.npairs_loss`; ours is `n_pairs`.

    Anchors and positives are the images of each class by turns.
    """

    def compute(function: Any, embedding: Any, labels: Any) -> Any:
        anchor, positive = (part > 0 for part in anchors_and_positives(labels))
        of_anchors = tf.boolean_mask(embedding, anchor)
        of_positives = tf.boolean_mask(embedding, positive)
        logits = scale * tf.matmul(of_anchors, of_positives, transpose_b=True)
        return function(tf.boolean_mask(labels, anchor), logits)

    ours = f"n_pairs(scale={scale})"
    return AddonsLoss("tfa_npairs", "npairs", "npairs_loss", ours, compute)


@LOSSES.register("tfa_contrastive")
def contrastive(margin: float = 1.0) -> AddonsLoss:
    """Builds `tfa.losses.contrastive_loss` on all pairs; ours is `contrastive`."""

    def compute(function: Any, embedding: Any, labels: Any) -> Any:
        distances = pairwise_distances(embedding)
        positive, negative = label_masks(labels)
        losses = function(positive, distances, margin=margin)
        return mean_where(losses, positive) + mean_where(
            losses, negative & (distances < margin)
        )

    ours = f"contrastive(negative_margin={margin})"
    return AddonsLoss(
        "tfa_contrastive", "contrastive", "contrastive_loss", ours, compute
    )
