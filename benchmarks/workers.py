"""Processes that each hold one contestant, and time a block of steps on command.

PyTorch and TensorFlow do not share a process, so that neither's threads are in the
other's way; all live at once and take turns, so that what the machine does meanwhile
hits all alike.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from benchmarks.contestants.setup import Setup

REST_SECONDS = 0.3  # OpenMP's threads spin for a while after they have worked.


class Worker:
    """A contestant in a process of its own.

    Args:
        side: `"keras"` or `"torch"`.
        name: Of the contestant; see `benchmarks/contestants`.
        setup: The work.
        environment: Of the process.
    """

    def __init__(
        self, side: str, name: str, setup: Setup, environment: Mapping[str, str]
    ) -> None:
        facts = json.dumps({"name": name, **dataclasses.asdict(setup)})
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contestants.serve", side, facts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            text=True,
        )
        try:
            self.missing: str | None = self._answer().get("missing")
        except RuntimeError:
            self._process.communicate()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate("")

    def seconds(self, steps: int) -> float:
        """Runs a number of steps; returns how long they took.

        Raises:
            RuntimeError: If the contestant failed.
        """
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"A contestant ended with code {self._process.wait()}: "
                f"{' '.join(self._process.args[1:])}"  # type: ignore[arg-type]
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def take_turns(
    workers: Mapping[str, Worker], steps: Mapping[str, int], repeats: int
) -> dict[str, list[float]]:
    """Lets all workers run in turn, several times, after a round that does not count.

    Args:
        workers: By name.
        steps: How many steps each runs at a time.
        repeats: How often.

    Returns:
        Seconds per step of each round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(repeats + 1):
        for name, worker in workers.items():
            taken = worker.seconds(steps[name]) / steps[name]
            if turn:
                seconds[name].append(taken)
            time.sleep(REST_SECONDS)
    return seconds
