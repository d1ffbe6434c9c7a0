"""What is said of one epoch, on its way from callback to callback and to the disk."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from dce_tf.record.numbers import Number
from dce_tf.record.values import VALUES, tag_of

LISTS = tuple(value.key for value in VALUES if value.is_list)
PARTS = tuple(value for value in VALUES if value.is_part)
RESERVED = ("epoch", "stage", "evaluated_on", *LISTS, "seconds")
"""What the record sets itself, and no callback can log."""


@dataclasses.dataclass
class EpochRecord:
    """What is said of one epoch.

    The numbers are what Keras callbacks get as `logs`; the rest is here alone.

    Attributes:
        epoch: Counted from 0; −1 is before training.
        stage: What it trained: `untrained`, `head`, `divide`,
            `full_embedding`, `finetune`.
        evaluated_on: The split that was scored, `val` or `test`; None where none was.
        logs: The numbers by key: those of `VALUES`, and what callbacks of the user log.
        lists: `learner_losses` (null for a learner without a step) and
            `cluster_sizes`, where there are any.
    """

    epoch: int
    stage: str
    evaluated_on: str | None = None
    logs: dict[str, Number] = dataclasses.field(default_factory=dict)
    lists: dict[str, list[Number | None]] = dataclasses.field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """What the parts of the epoch took so far."""
        return float(sum(self.logs.get(part.key, 0.0) for part in PARTS))

    @property
    def numbers(self) -> dict[str, Number]:
        """All numbers, with the seconds of the epoch."""
        return {**self.logs, "seconds": self.seconds}

    def as_line(self) -> dict[str, Any]:
        """Returns the line of `metrics.jsonl`; what is not finite is null there."""
        head: dict[str, Any] = {"epoch": self.epoch, "stage": self.stage}
        if self.evaluated_on is not None:
            head["evaluated_on"] = self.evaluated_on
        numbers = {
            key: value if math.isfinite(value) else None
            for key, value in self.numbers.items()
        }
        return {**head, **numbers, **self.lists}

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> EpochRecord:
        """Returns the record that a line of `metrics.jsonl` was written from."""
        record = cls(line["epoch"], line.get("stage", ""))
        record.take(line)
        return record

    def take(self, line: Mapping[str, Any]) -> None:
        """Adds what an earlier process noted of the epoch, as `as_line` gives it."""
        self.evaluated_on = line.get("evaluated_on", self.evaluated_on)
        for key, value in line.items():
            if key in LISTS:
                self.lists[key] = value
            elif key not in RESERVED and value is not None:
                self.logs[key] = value

    def scalars(self) -> dict[str, Number]:
        """Returns the numbers by their tag in TensorBoard; lists have one per part."""
        tags = {
            tag_of(key, self.evaluated_on): value for key, value in self.numbers.items()
        }
        for key, values in self.lists.items():
            for part, value in enumerate(values):
                if value is not None:
                    tags[tag_of(key, part=part)] = value
        return tags


def record_of(callback: Any) -> EpochRecord | None:
    """Returns the record of the epoch under way, or None in Keras's own `fit`.

    Args:
        callback: A Keras callback that `Trainer.fit` runs.
    """
    return (callback.params or {}).get("record")
