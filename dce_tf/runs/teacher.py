"""The teacher of a run: which it is, and its embeddings of the training images."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.errors import UsageError, first_line
from dce_tf.base.files import kept_array, write_json, write_text
from dce_tf.base.program import PROGRAM
from dce_tf.base.registry import suggest
from dce_tf.config import Config
from dce_tf.datasets import Images, Splits
from dce_tf.datasets.digest import common_folder, relative_paths
from dce_tf.evaluation.evaluator import Embedder
from dce_tf.export.fingerprint import fingerprint_model
from dce_tf.export.served import ServedModel
from dce_tf.export.versions import versions
from dce_tf.hub.address import is_on_hub
from dce_tf.hub.fetching import local_source
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.plain import plain_config
from dce_tf.runs.plugged import settings_of
from dce_tf.runs.sources import Source, find_source
from dce_tf.training.checkpoints import Checkpoints
from dce_tf.training.extractor import Extractor
from dce_tf.training.pipelines import FileReader
from dce_tf.training.workers import Workers, array_as_bytes, array_of_bytes

Vectors = npt.NDArray[np.float32]

_READ_VERSION = 1  # Of how the teacher's embeddings are made and kept.
_OTHERWISE = "; or use another --exp beside it, or --overwrite."


class Teacher:
    """An embedder that a run learns from; opened by the chief alone.

    Its embeddings of the training images are computed once, of the centre crop in the
    teacher's own size, and kept in the run: see `network.distillation.Distillation` for
    why. A resumed run reads them there, so that its steps are those it would have made,
    also where the teacher is gone.

    Args:
        config: Of the run that learns from it; names the teacher.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._named = str(config.distillation.teacher)
        self._embedder: Embedder | None = None
        self._fingerprint = ""

    def open(self, student: RunDirectory) -> None:
        """Loads it, before anything is written.

        Where it is gone, a run that began with it keeps what it needs of it.

        Args:
            student: The run that learns from it.

        Raises:
            UsageError: If there is nothing of the kind, or it is the student itself.
        """
        path = local_source(self._named)
        own = student.path.resolve()
        if own == path.resolve() or own in path.resolve().parents:
            raise UsageError(
                f"--teacher={self._named} is the run that is to learn from it, "
                f"{student.path}. Name another run, or give this one another --exp."
            )
        if self._is_gone(path):
            began = self._began_with(student)
            if began is None:
                raise UsageError(self._nothing_there(path))
            self._fingerprint = began["fingerprint"]
            return
        with _nothing_drawn():
            try:
                source = _with_model(find_source(path))
                config = self._settings(source)
                self._embedder = source.open(config, FileReader())
                self._fingerprint = _fingerprint(self._embedder, source, config)
            except UsageError as error:
                raise UsageError(f"--teacher={self._named}: {error}") from error
            except ValueError as error:
                raise UsageError(
                    f"--teacher={self._named} cannot be learned from: {error} "
                    f"`{PROGRAM} export RUN` writes a SavedModel that can."
                ) from error

    def _is_gone(self, path: Path) -> bool:
        if path.suffix == ".npy":
            raise UsageError(
                f"--teacher={self._named} holds embeddings, and a teacher embeds the "
                "training images. Name the run or the SavedModel that made them."
            )
        return not path.exists() and not is_on_hub(self._named)

    def _began_with(self, student: RunDirectory) -> dict[str, Any] | None:
        """Returns what a run that goes on keeps of the teacher of this name, if any."""
        if self._config.run.overwrite or not student.metrics_file.is_file():
            return None
        began = student.teacher()
        return began if began and began["source"] == self._named else None

    def _nothing_there(self, path: Path) -> str:
        beside = path.parent
        names = (
            [each.name for each in beside.iterdir() if not each.name.startswith(".")]
            if beside.is_dir()
            else []
        )
        return (
            f"--teacher={self._named}: there is nothing there."
            f"{suggest(path.name, names)} Expected a run directory, a SavedModel or "
            f"hf://user/name; `{PROGRAM} browse` lists the runs."
        )

    def _settings(self, source: Source) -> Config:
        """Returns the settings to run it with: its own, on this machine."""
        data = self._config.data
        here: dict[str, Any] = {
            "num_workers": data.num_workers,
            "evaluation_batch_size": data.evaluation_batch_size,
        }
        if source.run is not None:
            return settings_of(source.run, here)
        if source.path.suffix == ".keras":
            size = source.image_size()
            if size is None:
                raise UsageError(
                    "it takes images of any size, and does not say which it was "
                    "trained with. Name its run, or a SavedModel of it, which do."
                )
            here["image_size"] = size
        return plain_config(here)

    def check(self, student: RunDirectory) -> None:
        """Keeps which teacher it is in a run that begins; refuses others later.

        Args:
            student: The run that learns from it, held by this process.

        Raises:
            UsageError: If the run began with another, or with none.
        """
        if not student.metrics_file.is_file():
            write_json(student.teacher_file, self.facts())
            return
        began = student.teacher()
        if began is None:
            raise UsageError(
                f"{student.path} began without a teacher (now --teacher={self._named})."
                f" Leave it out to resume the run{_OTHERWISE}"
            )
        if began["fingerprint"] != self._fingerprint:
            raise UsageError(
                f"{student.path} began with the teacher {began['source']}, fingerprint "
                f"{began['fingerprint'][:12]}; --teacher={self._named} is another one, "
                f"{self._fingerprint[:12]}. Pass the one it began with to resume the "
                f"run{_OTHERWISE}"
            )
        if began["source"] != self._named:
            write_json(student.teacher_file, self.facts())
            moved = student.config().replace(teacher=self._named)
            write_text(student.config_file, moved.to_json())

    def facts(self) -> dict[str, Any]:
        """Returns what a run keeps of it, JSON values."""
        return {"source": self._named, "fingerprint": self._fingerprint}

    def embeddings(
        self, splits: Splits, student: RunDirectory, workers: Workers, display: Display
    ) -> Vectors:
        """Returns its embedding of each training image, as kept or computed now.

        Args:
            splits: The data, of which it embeds the training split.
            student: Where they are kept.
            workers: The processes that train together: the chief works for all.
            display: Shows how far it is.

        Returns:
            float32 `(num_images, teacher_dim)`, of unit length.

        Raises:
            UsageError: If it is gone, and they are not kept.
            ValueError: If it cannot embed an image.
        """
        found = workers.from_chief(
            lambda: self._kept(splits, student, display), array_as_bytes, array_of_bytes
        )
        self._embedder = None  # Its memory is for the student.
        return found

    def _kept(self, splits: Splits, student: RunDirectory, display: Display) -> Vectors:
        train, folder = splits.train, student.teacher_file.parent
        file = folder / f"{self._digest(train, common_folder(splits))}.npy"

        def compute() -> Vectors:
            if self._embedder is None:
                raise UsageError(
                    f"--teacher={self._named}: there is nothing there, and {folder} "
                    "does not hold its embeddings of these images. Put it back, or "
                    f"pass --teacher=PATH, where it lies now{_OTHERWISE}"
                )
            with (
                _nothing_drawn(),
                display.task("embeddings of the teacher", len(train)) as update,
            ):
                vectors = self._compute(
                    self._embedder, train, lambda done: update(done, "")
                )
            for old in folder.glob("*.npy"):
                old.unlink()
            return vectors

        return kept_array(file, compute)

    def _compute(self, embedder: Embedder, train: Images, on_batch: Any) -> Vectors:
        try:
            vectors = embedder.embeddings(train.paths, on_batch)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"The teacher {self._named} cannot embed a training image: "
                f"{first_line(error)}. Remove the image, or name another teacher."
            ) from error
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        bad = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(bad):
            raise ValueError(
                f"The teacher {self._named} gives {len(bad)} of {len(train)} training "
                f"images no direction; the first is {train.paths[bad[0]]}, of length "
                f"{lengths[bad[0]]}. Name another teacher, or export this one again."
            )
        scaled: Vectors = (vectors / lengths[:, None]).astype(np.float32)
        return scaled

    def _digest(self, train: Images, root: Path) -> str:
        """Returns what tells these embeddings from others, 32 hexadecimal digits."""
        facts = [_READ_VERSION, self._fingerprint, *relative_paths(train.paths, root)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def check_no_teacher(student: RunDirectory) -> None:
    """Checks that a run that began with a teacher is not resumed without it.

    Raises:
        UsageError: If it did.
    """
    if not student.metrics_file.is_file():
        shutil.rmtree(student.teacher_file.parent, ignore_errors=True)
    elif (began := student.teacher()) is not None:
        raise UsageError(
            f"{student.path} began with a teacher. Pass --teacher={began['source']} to "
            f"resume the run{_OTHERWISE}"
        )


def _with_model(source: Source) -> Source:
    """Returns a run's export in its place, where that is all that it still has."""
    run = source.run
    if run is None or source.path != run.path:
        return source
    if Checkpoints(run.checkpoints).best_model.is_file():
        return source
    if versions(run.export):
        return find_source(run.export)
    raise ValueError(
        f"{run.path} has neither a model nor an export: none of its epochs has been "
        "scored yet. Train it first, by the command it was begun with."
    )


def _fingerprint(embedder: Embedder, source: Source, config: Config) -> str:
    if isinstance(embedder, ServedModel):
        return embedder.fingerprint
    if isinstance(embedder, Extractor):
        size = config.data.image_size
        return fingerprint_model(embedder.model, image_size=size, precision="float32")
    with source.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _nothing_drawn() -> Iterator[None]:
    """Lets what is built here take no random numbers from what is built later.

    A student begins with the weights that it would have without its teacher.
    """
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
