"""How the learning rates change over a run."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import Registry

Rate = Callable[[Any], Any]
RATES: Registry[Rate] = Registry("learning-rate schedule", context=("num_epochs",))


@RATES.register("constant")
def constant() -> Rate:
    """Builds a rate that stays."""
    return lambda epochs_done: tf.ones_like(epochs_done)


@RATES.register("cosine")
def cosine(num_epochs: int, final: float = 0.0) -> Rate:
    """Builds a rate that falls along half a cosine (Loshchilov and Hutter, 2017).

    Args:
        num_epochs: Epochs of the run.
        final: The factor at its end.
    """

    def rate(epochs_done: Any) -> Any:
        wave = (1 + tf.cos(math.pi * tf.minimum(epochs_done / num_epochs, 1.0))) / 2
        return final + (1 - final) * wave

    return rate


@RATES.register("step")
def step(epochs: Sequence[float], factor: float = 0.1) -> Rate:
    """Builds a rate that is multiplied by a factor at some epochs.

    Args:
        epochs: Counted from 0; each drop comes with the first step of its epoch.
        factor: By what.
    """
    whens = (epochs,) if isinstance(epochs, int | float) else tuple(epochs)

    def rate(epochs_done: Any) -> Any:
        # The last step of an epoch ends where the next epoch begins.
        beyond = epochs_done > tf.constant(whens, epochs_done.dtype)
        return factor ** tf.reduce_sum(tf.cast(beyond, epochs_done.dtype))

    return rate


@dataclasses.dataclass(frozen=True)
class RateSchedule:
    """The factor on all learning rates at each step.

    Attributes:
        rate: From epochs done at the end of a step, with their fraction, to the factor.
        warmup_epochs: Over these it rises from 0 in a straight line.
        scale: Multiplies it all along.
    """

    rate: Rate
    warmup_epochs: float = 0.0
    scale: float = 1.0

    def __call__(self, epochs_done: Any) -> Any:
        """Returns the factor.

        Args:
            epochs_done: float64 scalar tensor: epochs done at the end of the step.
        """
        factor = self.scale * self.rate(epochs_done)
        if self.warmup_epochs:
            factor *= tf.minimum(epochs_done / self.warmup_epochs, 1.0)
        return factor


def build_rates(
    spec: str, num_epochs: int, warmup_epochs: float, scale: float = 1.0
) -> RateSchedule | None:
    """Builds the schedule that `spec` names; None where the rates never change.

    Args:
        spec: Such as `"cosine"` or `"step(epochs=(60, 120), factor=0.1)"`.
        num_epochs: Epochs of the run.
        warmup_epochs: Epochs over which the rates rise from 0.
        scale: Multiplies them all along.

    Raises:
        UsageError: If the name or an option is unknown, or the warm-up is longer than
            the run.
    """
    name, options = RATES.check(spec)
    if name == "step" and "epochs" not in options:
        raise UsageError("step needs its epochs, such as 'step(epochs=(60, 120))'.")
    if warmup_epochs > num_epochs:
        raise UsageError(
            f"--warmup_epochs={warmup_epochs} is longer than the run. Use at most "
            f"--num_epochs={num_epochs}."
        )
    rate = RATES.build(spec, num_epochs=num_epochs)
    if name == "constant" and not warmup_epochs and scale == 1:
        return None
    return RateSchedule(rate, warmup_epochs, scale)
