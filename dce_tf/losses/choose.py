"""From the `--loss` flag to a loss, or a weighted sum of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import parse_sum
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, Space
from dce_tf.miners import MINERS


def check_loss(spec: str, miner: str | None = None) -> None:
    """Checks names and options by building the loss for a small space.

    Raises:
        UsageError: If a name or option is unknown or out of range, or `miner` is given
            and nothing takes it.
    """
    build_loss(spec, Space(units=8), 2, miner, class_counts=(2, 2))


def build_loss(
    spec: str,
    space: Space,
    num_classes: int,
    miner: str | None = None,
    class_counts: npt.ArrayLike | None = None,
) -> MetricLoss:
    """Builds the loss that `spec` names, with the variables that it keeps.

    Args:
        spec: Such as `"margin(beta=1.2) + 0.5 * proxy_anchor()"`.
        space: Where the embeddings lie; for losses that keep vectors of their own.
        num_classes: Classes of the training images; their labels are below it.
        miner: For every term that takes one, in place of its own; None leaves each
            with what it names, or its default.
        class_counts: Training images of each class, `(num_classes,)`; for losses that
            treat rare classes differently.

    Raises:
        UsageError: As `check_loss`.
    """
    terms = parse_sum(spec)
    checked = [LOSSES.check(term) for _, term in terms]
    if miner is not None:
        chosen = MINERS.build(miner)
        taking = [options for name, options in checked if _takes_miner(name)]
        if not taking:
            raise UsageError(
                f"--miner={miner}: the loss {spec!r} takes no miner. Leave it out."
            )
        for options in taking:
            options["miner"] = chosen
    losses = [
        LOSSES.create(*each, num_classes=num_classes, class_counts=class_counts)
        for each in checked
    ]
    loss = losses[0]
    if len(terms) > 1 or terms[0][0] != 1:
        loss = WeightedSum(losses, [weight for weight, _ in terms])
    loss.build(space)
    return loss


def _takes_miner(name: str) -> bool:
    return "miner" in LOSSES.options(name)


class WeightedSum(MetricLoss):
    """The weighted sum of several losses.

    Args:
        losses: The terms.
        weights: Of each.

    Call arguments and result: see `MetricLoss`.
    """

    def __init__(self, losses: Sequence[MetricLoss], weights: Sequence[float]) -> None:
        super().__init__(name="weighted_sum")
        self.terms = list(losses)
        self.weights_of_terms = tuple(weights)
        self.keeps_variables = any(term.keeps_variables for term in losses)
        limits = [term.num_classes for term in losses if term.num_classes is not None]
        self.num_classes = min(limits, default=None)

    def _inner(self) -> Sequence[MetricLoss]:
        return self.terms

    def call(
        self, labels: Any, embedding: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        return sum(
            weight * term.call(labels, embedding, learner=learner, seed=seed)
            for weight, term in zip(self.weights_of_terms, self.terms, strict=True)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "losses": [keras.saving.serialize_keras_object(t) for t in self.terms],
            "weights": list(self.weights_of_terms),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WeightedSum:
        """Builds the sum that `get_config` described."""
        losses = [keras.saving.deserialize_keras_object(t) for t in config["losses"]]
        return cls(losses, config["weights"])
