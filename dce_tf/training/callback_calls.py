"""Calling Keras callbacks as `model.fit` does, and checking what they log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from dce_tf.record import RESERVED, EpochRecord, keep_numbers


class CallbackCalls:
    """Calls callbacks in their order; each sees what those before it logged.

    Callbacks get numbers only. What else there is to know of the epoch is in the
    `EpochRecord` under `params["record"]`, beside Keras's own `epochs`, `steps` and
    `verbose`. `steps` is that of the epoch under way; until its data are there, of the
    one before, and None in the first.

    Args:
        callbacks: A `keras.callbacks.CallbackList` counts as those in it.
        model: They may look at it, and set its `stop_training`, which begins as False.
        num_epochs: Of the whole run.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        num_epochs: int,
    ) -> None:
        self.callbacks = flattened(callbacks)
        model.stop_training = False
        self._params: dict[str, Any] = {
            "epochs": num_epochs,
            "steps": None,
            "verbose": 1,
        }
        for callback in self.callbacks:
            callback.set_model(model)
        self._set_params()

    def train_begin(self) -> None:
        """Says that the training begins."""
        for callback in self.callbacks:
            callback.on_train_begin({})

    def epoch_begin(self, record: EpochRecord, steps: Callable[[], int]) -> None:
        """Says that an epoch begins.

        Args:
            record: Of the epoch; callbacks write into its logs.
            steps: Returns how many steps it has, once a callback gave the data.
        """
        self._params["record"] = record
        for callback in self.callbacks:
            self._params["steps"] = steps() or None
            callback.set_params(dict(self._params))
            callback.on_epoch_begin(record.epoch, record.logs)
            self._check(callback, record)
        self._params["steps"] = steps()
        self._set_params()

    def batch_begin(self, batch: int) -> None:
        """Says that steps begin, with the number of the first one in the epoch."""
        for callback in self.callbacks:
            callback.on_train_batch_begin(batch, {})

    def batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """Says that steps are done, with the number of the last one in the epoch."""
        seen = dict(logs)
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, seen)

    def epoch_end(self, record: EpochRecord) -> None:
        """Says that an epoch is done."""
        for callback in self.callbacks:
            callback.on_epoch_end(record.epoch, record.logs)
            self._check(callback, record)

    def train_end(self, record: EpochRecord | None) -> None:
        """Says that the training is done, with what the last epoch logged."""
        logs = {} if record is None else record.logs
        for callback in self.callbacks:
            callback.on_train_end(logs)

    def _set_params(self) -> None:
        for callback in self.callbacks:
            callback.set_params(dict(self._params))

    def _check(self, callback: keras.callbacks.Callback, record: EpochRecord) -> None:
        keep_numbers(record.logs, type(callback).__name__, RESERVED)


def flattened(
    callbacks: Sequence[keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks, those of a `CallbackList` one by one."""
    flat: list[keras.callbacks.Callback] = []
    for each in callbacks:
        if isinstance(each, keras.callbacks.CallbackList):
            flat += flattened(each.callbacks)
        else:
            flat.append(each)
    return flat
