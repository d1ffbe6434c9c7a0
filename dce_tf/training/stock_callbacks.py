"""Which callbacks of Keras cannot work here, and what does their work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dce_tf.training.callback_calls import flattened

_RATE_SETTERS = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)
_BACKUP = (
    "BackupAndRestore keeps the model's weights, but not the division, the weights of "
    "the loss and the steps done: it would be another training from there on. Leave "
    "it out. A run keeps checkpoints, and the same command resumes it; for a Trainer "
    "of your own there is dce_tf.training.checkpoints.Checkpoints."
)
_SWAP_IN_A_RUN = (
    "SwapEMAWeights would leave averaged weights in the checkpoint from which a run is "
    "resumed. Leave it out and use --ema, such as --ema=0.999: the average is then "
    "evaluated, saved as the best model and exported."
)


def check_callbacks(
    callbacks: Sequence[Any],
    *,
    scheduled: bool,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> None:
    """Refuses what would do nothing, or harm, without a word.

    Args:
        callbacks: Those of the user.
        scheduled: A schedule sets the learning rate at each step.
        optimizer: Of the model; None in a run with checkpoints, which chooses its own.

    Raises:
        TypeError: If one is no Keras callback.
        ValueError: If one cannot work.
    """
    for callback in flattened(callbacks):
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                f"callbacks: received {callback!r}; expected objects of "
                "keras.callbacks.Callback, such as keras.callbacks.TerminateOnNaN()."
            )
        reason = _why_not(callback, scheduled, optimizer)
        if reason is not None:
            raise ValueError(reason)


def _why_not(
    callback: keras.callbacks.Callback,
    scheduled: bool,
    optimizer: keras.optimizers.Optimizer | None,
) -> str | None:
    if isinstance(callback, keras.callbacks.BackupAndRestore):
        return _BACKUP
    if isinstance(callback, keras.callbacks.SwapEMAWeights):
        return _why_no_swap(callback, optimizer)
    if scheduled and isinstance(callback, _RATE_SETTERS):
        return (
            f"{type(callback).__name__} sets the learning rate once per epoch, but the "
            "schedule of the run sets it at each step. Leave the callback out, or use "
            "--lr_schedule=constant without --warmup_epochs and --scale_lr."
        )
    return None


def _why_no_swap(
    callback: keras.callbacks.SwapEMAWeights,
    optimizer: keras.optimizers.Optimizer | None,
) -> str | None:
    if optimizer is None:
        return _SWAP_IN_A_RUN
    averages = getattr(optimizer, "inner_optimizer", optimizer).use_ema
    if callback.swap_on_epoch and averages:
        return None
    return (
        f"SwapEMAWeights(swap_on_epoch={callback.swap_on_epoch}) and an optimizer with "
        f"use_ema={averages} would do nothing: Trainer.fit has no test phase. Pass "
        "swap_on_epoch=True and an optimizer with use_ema=True, or give the Trainer "
        "average=WeightAverage(...)."
    )
