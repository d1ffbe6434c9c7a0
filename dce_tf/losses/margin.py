"""Margin loss."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import Space, checked_num_classes
from dce_tf.losses.pairs import Compared, PairLoss
from dce_tf.miners import Miner


@LOSSES.register("margin")
class MarginLoss(PairLoss):
    """Pulls positives nearer than β − α and pushes negatives farther than β + α.

    The mean of relu(D_ap − β + α) over positive and relu(β − D_an + α) over negative
    pairs, divided by the number of pairs of both kinds that are not yet 0 (Wu et al.,
    ICCV 2017, equation 6).

    Args:
        alpha: Half the width of the gap, as a distance.
        beta: The boundary between positives and negatives, as a distance, 0 to 2.
        learn_beta: `"none"` keeps β; `"one"` trains it, `"class"` trains one for each
            class of anchors, from `beta` on.
        nu: Weight of the mean β of the anchors, added to the loss: keeps a trained β
            from growing (Wu et al., section 4.2).
        miner: Picks the pairs: a miner or the name of one.
        num_classes: How many classes there are; for `learn_beta="class"`.

    Call arguments and result: see `MetricLoss`.

    Raises:
        UsageError: If `learn_beta` is none of the three, or `"class"` and there is no
            `num_classes`.
    """

    def __init__(
        self,
        alpha: float = 0.2,
        beta: float = 1.2,
        learn_beta: str = "none",
        nu: float = 0.0,
        miner: Miner | str = "nearest",
        num_classes: int | None = None,
    ) -> None:
        super().__init__(miner, name="margin_loss")
        if learn_beta not in ("none", "one", "class"):
            raise UsageError(
                f"margin(learn_beta={learn_beta!r}): expected none, one or class."
            )
        if learn_beta == "class" and num_classes is None:
            raise UsageError(
                "margin(learn_beta='class') needs the number of classes: give "
                "num_classes."
            )
        self.alpha = alpha
        self.beta: Any = beta
        self.nu = nu
        self.keeps_variables = learn_beta != "none"
        self.beta_per_class = learn_beta == "class"
        if num_classes is not None and self.beta_per_class:
            self.num_classes = checked_num_classes("margin", num_classes)

    def _make_variables(self, space: Space) -> None:
        del space
        self.beta = self.add_weight(
            shape=(self.num_classes,) if self.beta_per_class else (),
            initializer=keras.initializers.Constant(self.beta),
            name="beta",
        )

    def combine(self, compared: Compared) -> Any:
        beta = tf.convert_to_tensor(self.beta)
        if self.beta_per_class:
            beta = tf.gather(beta, compared.labels)[:, tf.newaxis]
        positive = tf.nn.relu(compared.distances - beta + self.alpha)
        negative = tf.nn.relu(beta - compared.distances + self.alpha)
        total = tf.reduce_sum(
            compared.positive * positive + compared.negative * negative
        )
        active = tf.reduce_sum(
            compared.positive * _is_active(positive)
            + compared.negative * _is_active(negative)
        )
        return total / tf.maximum(active, 1) + self.nu * tf.reduce_mean(beta)


def _is_active(terms: Any) -> Any:
    return tf.cast(terms > 0, terms.dtype)
