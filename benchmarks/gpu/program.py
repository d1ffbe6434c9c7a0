"""Runs of the program itself, in processes of their own, on small pictures."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.datasets.stored import store_images

ROOT = Path(__file__).parents[2]
TIMES = ("second", "images_per_")  # In the names of what differs from run to run.


def draw(num_classes: int, per_class: int, side: int) -> Iterator[tuple[Any, int]]:
    """Yields pictures: each class has a pattern of its own, under noise.

    Args:
        num_classes: How many.
        per_class: Pictures of each.
        side: In pixels.

    Yields:
        uint8 `(side, side, 3)` and the label, in random order.
    """
    rng = np.random.default_rng(0)
    patterns = rng.uniform(0, 255, (num_classes, 8, 8, 3))
    for label in rng.permutation(np.repeat(np.arange(num_classes), per_class)):
        grown = np.kron(patterns[label], np.ones((side // 8, side // 8, 1)))
        noise = rng.normal(0, 40, grown.shape)
        yield (grown + noise).clip(0, 255).astype(np.uint8), int(label)


@functools.cache
def small_data(folder: Path, side: int = 64, classes: int = 24, each: int = 10) -> str:
    """Writes a data set of such pictures; half of the classes are the test."""
    samples = list(draw(classes, each, side))
    train = [sample for sample in samples if sample[1] % 2]
    test = [sample for sample in samples if not sample[1] % 2]
    target = folder / f"data-{side}-{classes}-{each}"
    return store_images(target, overwrite=True, train=train, test=test)


SETTINGS: dict[str, Any] = {
    "dataset": "csv",
    "backbone": "small",
    "image_size": 32,
    "batch_size": 16,
    "embedding_dim": 32,
    "num_clusters": 2,
    "num_epochs": 2,
    "val_fraction": 0.4,
    "backbone_lr": 1e-3,
    "embedding_lr": 1e-3,
    "loss": "multi_similarity",
    "nmi_runs": 0,
}


class Run:
    """A run of `python main.py`.

    Args:
        folder: Where its folder goes.
        name: Of the run.
        environment: Added to that of this process.
        **settings: Flags; others are those of `SETTINGS`.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        environment: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        flags = {**SETTINGS, **settings, "log_dir": folder, "exp": name}
        words = [f"--{flag}={value}" for flag, value in flags.items()]
        self.command = [sys.executable, str(ROOT / "main.py"), *words]
        self.environment = os.environ | dict(environment or {})
        self._folder, self._name = folder, name

    @property
    def path(self) -> Path:
        """The run directory."""
        (path,) = self._folder.glob(f"default/*-exp-{self._name}")
        return path

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Runs it to its end."""
        return subprocess.run(
            self.command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def finished(self) -> Run:
        """Runs it to its end, which must be a good one.

        Raises:
            RuntimeError: If it is not.
        """
        done = self.finish()
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["nothing was printed"]
            raise RuntimeError(f"exit code {done.returncode}: {lines[-1]}")
        return self

    def kill_after(self, lines: int) -> None:
        """Starts it, and kills it when this many epochs are in its metrics.

        Raises:
            RuntimeError: If it ended before.
        """
        process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(self.metrics()) < lines:
            if process.poll() is not None:
                raise RuntimeError("the run ended before it could be killed")
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def metrics(self) -> list[dict[str, Any]]:
        """Returns one object per epoch."""
        files = list(self._folder.glob(f"default/*-exp-{self._name}/metrics.jsonl"))
        if not files:
            return []
        return [json.loads(line) for line in files[0].read_text().splitlines()]

    def untimed(self) -> list[dict[str, Any]]:
        """Returns the metrics without those that tell the time."""
        return [
            {k: v for k, v in line.items() if not any(word in k for word in TIMES)}
            for line in self.metrics()
        ]


@contextlib.contextmanager
def served(path: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Serves a run on this machine while the block is open.

    Yields:
        The URL, when it answers.

    Raises:
        RuntimeError: If the server ends instead.
    """
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    command = [sys.executable, str(ROOT / "main.py"), "serve", str(path)]
    process = subprocess.Popen(
        [*command, f"--port={port}"],
        env=os.environ | dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            if process.poll() is not None:
                assert process.stderr is not None  # noqa: S101
                last = (process.stderr.read().strip().splitlines() or [""])[-1]
                raise RuntimeError(f"the server ended: {last}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz"):
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.communicate()
