"""From the `--loss` flag to a loss, or a weighted sum of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dce_tf.errors import UsageError
from dce_tf.losses import LOSSES
from dce_tf.losses.base import MetricLoss, Space
from dce_tf.miners import MINERS
from dce_tf.registry import parse_sum


def check_loss(spec: str, miner: str | None = None) -> None:
    """Checks names and options by building the loss for a small space.

    Raises:
        UsageError: If a name or option is unknown or out of range, or `miner` is given
            and nothing takes it.
    """
    build_loss(spec, Space(units=8, num_classes=2), miner)


def build_loss(spec: str, space: Space, miner: str | None = None) -> MetricLoss:
    """Builds the loss that `spec` names.

    Args:
        spec: Such as `"margin(beta=1.2) + 0.5 * proxy_anchor()"`.
        space: For losses that keep vectors of their own.
        miner: For every term that takes one, in place of its own; None leaves each
            with what it names, or its default.

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
    losses = [LOSSES.create(*each, space=space) for each in checked]
    if len(terms) == 1 and terms[0][0] == 1:
        return losses[0]
    return WeightedSum(losses, [weight for weight, _ in terms])


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

    def call(
        self, embedding: Any, labels: Any, learner: Any = None, seed: Any = None
    ) -> Any:
        return sum(
            weight * term(embedding, labels, learner=learner, seed=seed)
            for weight, term in zip(self.weights_of_terms, self.terms, strict=True)
        )
