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
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError, first_line
from dce_tf.batch.distances import label_masks, pairwise_distances, same_class
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

    It is 0, as of our own losses, where a batch holds no pair to compare: theirs is
    then not a number, or counts distances to nothing. Classes are numbered by their
    first image, as some of theirs turn labels into float32. Subclasses define `theirs`.

    Args:
        name: Of the loss.
        module: Of `tensorflow_addons.losses`.
        function: In it.
        ours: The loss here that is the same, for the message where it is missing.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If TensorFlow Addons cannot be imported.
    """

    def __init__(self, name: str, module: str, function: str, ours: str) -> None:
        super().__init__(name=name)
        try:
            self._function = getattr(_load(module), function)
        except Exception as error:
            raise _absent(ours, first_line(error)) from error

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        del learner, seed
        classes = tf.argmax(same_class(labels, labels), axis=1, output_type=tf.int32)
        return tf.cond(
            self.comparable(labels),
            lambda: self.theirs(classes, embedding),
            lambda: tf.constant(0.0),
        )

    def comparable(self, labels: Any) -> Any:
        """Returns whether the batch has positive and negative pairs, a bool scalar."""
        positive, negative = label_masks(labels)
        return tf.reduce_any(positive) & tf.reduce_any(negative)

    def theirs(self, classes: Any, embedding: Any) -> Any:
        """Returns their loss, a float32 scalar.

        Args:
            classes: int32 `(batch,)`.
            embedding: float32 `(batch, dim)`.
        """
        raise NotImplementedError


@LOSSES.register("tfa_triplet_semihard")
class AddonsTripletSemiHard(AddonsLoss):
    """`tfa.losses.triplet_semihard_loss`; ours is `triplet`."""

    def __init__(self, margin: float = 1.0) -> None:
        name, ours = "tfa_triplet_semihard", f"triplet(margin={margin})"
        super().__init__(name, "triplet", "triplet_semihard_loss", ours)
        self.margin = margin

    def theirs(self, classes: Any, embedding: Any) -> Any:
        return self._function(classes, embedding, margin=self.margin)


@LOSSES.register("tfa_triplet_hard")
class AddonsTripletHard(AddonsLoss):
    """`tfa.losses.triplet_hard_loss`; ours is `triplet(kind='hard')`.

    Theirs also counts anchors without a positive, as if one were at the distance 0.
    """

    def __init__(self, margin: float = 1.0, soft: bool = False) -> None:
        ours = f"triplet(margin={margin}, kind=hard, soft={soft})"
        super().__init__("tfa_triplet_hard", "triplet", "triplet_hard_loss", ours)
        self.margin = margin
        self.soft = soft

    def theirs(self, classes: Any, embedding: Any) -> Any:
        return self._function(classes, embedding, margin=self.margin, soft=self.soft)


@LOSSES.register("tfa_lifted_struct")
class AddonsLiftedStruct(AddonsLoss):
    """`tfa.losses.lifted_struct_loss`; ours is `lifted_structure`."""

    def __init__(self, margin: float = 1.0) -> None:
        ours = f"lifted_structure(margin={margin})"
        super().__init__("tfa_lifted_struct", "lifted", "lifted_struct_loss", ours)
        self.margin = margin

    def theirs(self, classes: Any, embedding: Any) -> Any:
        return self._function(classes, embedding, margin=self.margin)


@LOSSES.register("tfa_npairs")
class AddonsNPairs(AddonsLoss):
    """`tfa.losses.npairs_loss`; ours is `n_pairs`.

    Anchors and positives are the images of each class by turns.
    """

    def __init__(self, scale: float = 16.0) -> None:
        ours = f"n_pairs(scale={scale})"
        super().__init__("tfa_npairs", "npairs", "npairs_loss", ours)
        self.scale = scale

    def comparable(self, labels: Any) -> Any:
        anchor, _ = anchors_and_positives(labels)
        return tf.reduce_any(anchor > 0)

    def theirs(self, classes: Any, embedding: Any) -> Any:
        # Column i must be a positive of anchor i: within a class they take turns.
        order = tf.argsort(classes, stable=True)
        classes, embedding = tf.gather(classes, order), tf.gather(embedding, order)
        anchor, positive = (part > 0 for part in anchors_and_positives(classes))
        of_anchors = tf.boolean_mask(embedding, anchor)
        of_positives = tf.boolean_mask(embedding, positive)
        logits = self.scale * tf.matmul(of_anchors, of_positives, transpose_b=True)
        return self._function(tf.boolean_mask(classes, anchor), logits)


@LOSSES.register("tfa_contrastive")
class AddonsContrastive(AddonsLoss):
    """`tfa.losses.contrastive_loss` on all pairs; ours is `contrastive`."""

    def __init__(self, margin: float = 1.0) -> None:
        ours = f"contrastive(negative_margin={margin})"
        super().__init__("tfa_contrastive", "contrastive", "contrastive_loss", ours)
        self.margin = margin

    def comparable(self, labels: Any) -> Any:
        return tf.size(labels) > 1

    def theirs(self, classes: Any, embedding: Any) -> Any:
        distances = pairwise_distances(embedding)
        positive, negative = label_masks(classes)
        losses = self._function(positive, distances, margin=self.margin)
        near = negative & (distances < self.margin)
        return mean_where(losses, positive) + mean_where(losses, near)
