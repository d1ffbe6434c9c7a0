"""The callback that scores the model after an epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import keras

from dce_tf.datasets import Search
from dce_tf.evaluation.evaluator import Evaluator
from dce_tf.record import record_of


class Evaluate(keras.callbacks.Callback):
    """Scores the split that chooses the best epoch, and writes into the epoch's logs.

    Args:
        evaluator: Does the work.
        search: What to score.
        split: Name of the split, for the record: `"val"` or `"test"`.
        every: Epochs between two evaluations; the last epoch always has one.
        sources: Names of the sources of a mix. The search within each is scored, too,
            but for k-means: as `SOURCE/recall@1` and so on.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        search: Search,
        split: str,
        every: int = 1,
        sources: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._evaluator = evaluator
        self._search = search
        self._parts = search.of_sources(sources)
        self._split = split
        self._every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the metrics to `logs` if it is time."""
        last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        if logs is None or not (last or (epoch + 1) % self._every == 0):
            return
        logs.update(self.scores())
        record = record_of(self)
        if record is not None:
            record.evaluated_on = self._split

    def scores(self) -> dict[str, float]:
        """Returns the metrics of the model as it is, and how long it took."""
        started = time.perf_counter()
        evaluation, *parts = self._evaluator.evaluate(
            [self._search], ungrouped=self._parts
        )
        seconds = time.perf_counter() - started
        return {
            **evaluation.scores,
            **{
                f"{part.search.name}/{key}": score
                for part in parts
                for key, score in part.scores.items()
            },
            "mean_distance": evaluation.mean_distance,
            "seconds_evaluate": seconds,
        }
