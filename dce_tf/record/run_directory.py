"""The folder of one run: what lies where, who may write, what it says so far."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.files import locked, write_json, write_text
from dce_tf.base.program import PROGRAM
from dce_tf.config import Config
from dce_tf.record import SELECTED_BY

Metrics = dict[str, Any]


def best_line(history: Sequence[Metrics]) -> Metrics | None:
    """Returns the metrics of the best trained epoch, or None before the first score.

    The best has the highest recall@1; among equals the highest MAP@R, then the first.
    """
    scored = [
        line
        for line in history
        if line["epoch"] >= 0 and line.get(SELECTED_BY[0]) is not None
    ]
    return max(scored, key=_rank, default=None)


def _rank(line: Metrics) -> tuple[float, ...]:
    scores = (line.get(key) for key in SELECTED_BY)
    return tuple(-math.inf if score is None else score for score in scores)


class RunDirectory:
    """Paths and small files of one run.

    Args:
        path: The run's own folder, `<log_dir>/<dir>/<dataset>-K-…-M-…-exp-…[-fold-…]`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @classmethod
    def of(cls, config: Config) -> RunDirectory:
        """Returns the directory in which a run with these settings belongs."""
        clusters = config.division.num_clusters or "auto"
        name = (
            f"{config.data.dataset.partition('(')[0]}-K-{clusters}"
            f"-M-{config.division.recluster_every}-exp-{config.run.exp}"
        )
        if config.data.fold is not None:
            name += f"-fold-{config.data.fold}"
        return cls(Path(config.run.log_dir) / config.run.dir / name)

    @classmethod
    def opened(cls, path: Path | str) -> RunDirectory:
        """Returns an existing run.

        Raises:
            ValueError: If there is no run at `path`.
        """
        run = cls(path)
        if not run.config_file.is_file():
            raise ValueError(
                f"{path} is not a run directory: it has no {run.config_file.name}. "
                f"`{PROGRAM} browse` lists the runs."
            )
        return run

    @property
    def config_file(self) -> Path:
        """The settings."""
        return self.path / "config.json"

    @property
    def metrics_file(self) -> Path:
        """One JSON line per epoch; epoch −1 is before training."""
        return self.path / "metrics.jsonl"

    @property
    def report_file(self) -> Path:
        """The result; there only when the run is done."""
        return self.path / "report.json"

    @property
    def warnings_file(self) -> Path:
        """What the run was warned of while it trained."""
        return self.path / "warnings.json"

    @property
    def bad_images_file(self) -> Path:
        """Images that could not be decoded, and why."""
        return self.path / "bad_images.json"

    @property
    def data_file(self) -> Path:
        """A digest of the data, made by `datasets.digest`: others are refused."""
        return self.path / "data.json"

    @property
    def teacher_file(self) -> Path:
        """Which teacher it learns from; beside it lie that one's embeddings."""
        return self.path / "teacher" / "teacher.json"

    @property
    def labels_file(self) -> Path:
        """The classes trained on, a line each; there when the run is done."""
        return self.path / "labels.txt"

    @property
    def calibration_file(self) -> Path:
        """What the scores mean; there only when `calibrate` has learned it."""
        return self.path / "calibration.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of what a run resumes from, and of the best weights."""
        return self.path / "checkpoints"

    @property
    def clusters(self) -> Path:
        """Folder of one file per division."""
        return self.path / "clusters"

    @property
    def tensorboard(self) -> Path:
        """Folder of event files and the projector."""
        return self.path / "tensorboard"

    @property
    def plots(self) -> Path:
        """Folder of PNG plots."""
        return self.path / "plots"

    @property
    def export(self) -> Path:
        """Folder of SavedModels, one sub-folder per version."""
        return self.path / "export"

    @property
    def embeddings(self) -> Path:
        """Folder of the embeddings that were made with its model."""
        return self.path / "embeddings"

    def config(self) -> Config:
        """Reads the settings."""
        return Config.from_json(self.config_file.read_text(encoding="utf-8"))

    def metrics(self) -> list[Metrics]:
        """Reads the metrics of all epochs so far."""
        if not self.metrics_file.is_file():
            return []
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def write_metrics(self, history: Sequence[Metrics]) -> None:
        """Writes the metrics of all epochs so far, atomically.

        With the first ones the run has begun, and one that it overwrites goes.
        """
        lines = [json.dumps(metrics) + "\n" for metrics in history]
        write_text(self.metrics_file, "".join(lines))
        if self._overwritten.is_dir():
            shutil.rmtree(self._overwritten)

    def warnings(self) -> list[dict[str, Any]]:
        """Reads what the run was warned of so far: `epoch`, `kind` and `text` each."""
        if not self.warnings_file.is_file():
            return []
        warned: list[dict[str, Any]] = json.loads(
            self.warnings_file.read_text(encoding="utf-8")
        )
        return warned

    def report(self) -> dict[str, Any] | None:
        """Reads the report, or returns None while the run is not done."""
        if not self.report_file.is_file():
            return None
        report: dict[str, Any] = json.loads(
            self.report_file.read_text(encoding="utf-8")
        )
        return report

    def teacher(self) -> dict[str, Any] | None:
        """Reads which teacher it learns from: `source`, `fingerprint`; None if none."""
        if not self.teacher_file.is_file():
            return None
        teacher: dict[str, Any] = json.loads(
            self.teacher_file.read_text(encoding="utf-8")
        )
        return teacher

    def write_report(self, report: dict[str, Any]) -> None:
        """Writes the report, atomically: its being there means the run is done."""
        write_json(self.report_file, report)

    def prepare(self, config: Config) -> None:
        """Makes the folder, or checks that the run in it is this one.

        A run that ended before its first score holds nothing to keep, and gives way.
        One that is to be overwritten is put aside until this one has begun.

        Raises:
            UsageError: If a run with other settings is there.
        """
        files = (self.config_file, self.metrics_file)
        if config.run.overwrite and any(file.is_file() for file in files):
            self._put_aside()
        if self.metrics_file.is_file():
            self._check_same(config)
            return
        if self.config_file.is_file() and not self.config().data.same_images(
            config.data
        ):
            # The search for bad images may be long, and is kept for the same images.
            self.bad_images_file.unlink(missing_ok=True)
        write_text(self.config_file, config.to_json())

    def bring_back(self) -> None:
        """Brings back the run that was to be overwritten by one that never began."""
        if not self._overwritten.is_dir():
            return
        if self.metrics_file.is_file():
            shutil.rmtree(self._overwritten)
            return
        if self.path.is_dir():
            shutil.rmtree(self.path)
        self._overwritten.rename(self.path)

    @property
    def _overwritten(self) -> Path:
        return self.path.with_name(f".{self.path.name}.overwritten")

    def _put_aside(self) -> None:
        if not self.metrics_file.is_file():
            shutil.rmtree(self.path)
            return
        if self._overwritten.is_dir():
            shutil.rmtree(self._overwritten)
        self.path.rename(self._overwritten)

    def _check_same(self, config: Config) -> None:
        if not self.config_file.is_file():
            raise UsageError(
                f"{self.path} has the metrics of a run, but no "
                f"{self.config_file.name}. Put it back to resume it, or use another "
                "--exp beside it, or --overwrite."
            )
        changed = self.config().differences(config)
        if changed:
            listed = ", ".join(f"--{k}={a} (now {b})" for k, (a, b) in changed.items())
            raise UsageError(
                f"{self.path} holds a run with other settings: {listed}. Use its "
                "settings to resume it, another --exp beside it, or --overwrite."
            )

    @property
    def lock_file(self) -> Path:
        """What a process that writes to the run holds; beside it, to survive it."""
        return self.path.with_name(f".{self.path.name}.lock")

    def is_running(self) -> bool:
        """Returns whether a process writes to the run now."""
        if not self.lock_file.is_file():
            return False
        with self.lock_file.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from writing to this run.

        The lock goes with the process, however that ends.

        Raises:
            ValueError: If another process holds it.
        """
        message = (
            f"{self.path} is in use by another process. Wait for it, or choose another "
            "--exp."
        )
        with locked(self.lock_file, message):
            yield
