"""A run of ours in a process of its own, which says what it took, as JSON.

    python -m benchmarks.our_run '{"dataset": "csv", …}'

Each epoch is timed as in the reference program, with its division, its evaluation and
all that is written.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import keras

from benchmarks.timing import peak_memory
from dce_tf.config import Config
from dce_tf.reports.display import Display
from dce_tf.runs.train import train


class Clock(keras.callbacks.Callback):
    """Notes when each epoch ends, and what it logged."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[float] = []
        self.logs: list[dict[str, Any]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Starts."""
        del logs
        self.moments = [time.perf_counter()]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends an epoch; what others do after this counts to the next."""
        del epoch
        self.logs.append(dict(logs or {}))
        self.moments.append(time.perf_counter())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Ends the last epoch."""
        del logs
        self.moments[-1] = time.perf_counter()


def run(config: Config) -> dict[str, Any]:
    """Trains; returns what it took and reached."""
    clock = Clock()
    report = train(config, [clock], Display(quiet=True))
    ends = zip(clock.moments[1:], clock.moments, strict=False)
    parts: dict[str, float] = {}
    for logs in clock.logs:
        for name, value in logs.items():
            if name.startswith("seconds_"):
                parts[name] = parts.get(name, 0.0) + value
    return {
        "seconds": [end - begin for end, begin in ends],
        "recall@1": [
            report["before"]["recall@1"],
            *(logs.get("recall@1") for logs in clock.logs),
        ],
        "steps": [logs["steps"] for logs in clock.logs],
        "divisions": sum("lone_images" in logs for logs in clock.logs),
        "parts": parts,
        "peak_mb": peak_memory(),
    }


def main() -> None:
    """Trains, and prints it."""
    print(json.dumps(run(Config(**json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
