"""What a run resumes from, and the best model so far."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np
import numpy.typing as npt

from dce_tf.base.files import replacing
from dce_tf.network.backbones.adapters import (
    adapted_layers,
    merged_adapters,
    write_adapters,
)
from dce_tf.training.workers import Workers


@dataclasses.dataclass
class RunProgress:
    """How far a run has come.

    Attributes:
        epoch: The last epoch done; −1 before training.
        step: Training steps done.
        history: The metrics of each epoch from −1 on.
        before: Test scores of the untrained network.
        partial: Of the epoch after it, if that is under way: the fields of
            `progress.EpochProgress`.
        features: What the next division clusters, if that is gathered by and by,
            float32 `(num_images, feature_dim)`.
        stopped: A callback ended the training with this epoch.
    """

    epoch: int = -1
    step: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    before: dict[str, float] = dataclasses.field(default_factory=dict)
    partial: dict[str, Any] | None = None
    features: npt.NDArray[np.float32] | None = None
    stopped: bool = False


class Checkpoints:
    """The checkpoint files of one run: an NPZ an epoch, checked by its CRC on reading.

    Args:
        folder: Where they lie.
        keep: How many of the newest to keep.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    @property
    def best_model(self) -> Path:
        """The whole model of the best epoch, for `keras.models.load_model`."""
        return self.folder / "best.keras"

    @property
    def adapters(self) -> Path:
        """The low-rank adapters of the best model, if it was trained with some."""
        return self.folder / "adapters.safetensors"

    def is_empty(self) -> bool:
        """Returns whether there is nothing to go on from."""
        return not self._files()

    def save(self, progress: RunProgress, variables: Sequence[Any]) -> None:
        """Writes a checkpoint, atomically, then removes the oldest.

        Args:
            progress: How far the run has come.
            variables: Keras variables, in an order that stays.
        """
        arrays = {f"variable-{i:05d}": _array(v) for i, v in enumerate(variables)}
        facts = dict(vars(progress))
        features = facts.pop("features")
        if features is not None:
            arrays["features"] = features
        name = f"epoch-{progress.epoch + 1:05d}"
        if progress.partial is not None:
            name += f"-step-{progress.partial['steps']:07d}"
        with replacing(self.folder / f"{name}.npz") as temporary:
            np.savez(temporary, progress=np.asarray(json.dumps(facts)), **arrays)
        for old in self._files()[: -self.keep]:
            old.unlink()

    def save_best(self, model: keras.Model, epoch: int) -> None:
        """Writes the whole model of an epoch, atomically, for `publish_best`.

        Low-rank adapters are part of its kernels there, and in a file of their own.
        """
        name = f"best-{epoch:05d}"
        if adapted_layers(model):
            with replacing(self.folder / f"{name}.safetensors") as temporary:
                write_adapters(model, temporary)
        best = replacing(self.folder / f"{name}.keras")
        with best as temporary, merged_adapters(model):
            model.save(temporary)

    def publish_best(self, epoch: int | None) -> None:
        """Makes what `save_best` wrote the best model, once its epoch is kept.

        A model of another epoch is removed: its run ended before the checkpoint.

        Args:
            epoch: The best epoch of those that are kept, if there is one.
        """
        places = {".safetensors": self.adapters, ".keras": self.best_model}
        for path in self.folder.glob("best-*"):
            number = path.stem.removeprefix("best-")
            if path.suffix not in places or not number.isdecimal():
                continue  # Somebody's own.
            if int(number) == epoch:
                path.replace(places[path.suffix])
            else:
                path.unlink()

    def restore(
        self, variables: Sequence[Any], workers: Workers | None = None
    ) -> RunProgress | None:
        """Assigns the newest checkpoint that can be read.

        Args:
            variables: As given to `save`.
            workers: The processes that train together: the chief reads for all.

        Returns:
            How far the run had come, or None if there is no checkpoint.

        Raises:
            ValueError: If there are checkpoints and none can be read, or the variables
                are not those that were saved.
        """
        if workers is None:
            arrays = self._newest()
        else:
            arrays = workers.from_chief(self._newest, _as_bytes, _of_bytes)
        if not arrays:
            return None
        progress = RunProgress(**json.loads(str(arrays.pop("progress"))))
        progress.features = arrays.pop("features", None)
        _assign(variables, list(arrays.values()), self.folder)
        return progress

    def _newest(self) -> dict[str, Any]:
        """Returns what the newest checkpoint holds that can be read, if any."""
        files = self._files()
        for path in reversed(files):
            try:
                return _read(path)
            except (OSError, EOFError, ValueError, zipfile.BadZipFile):
                continue
        if files:
            raise ValueError(
                f"None of the checkpoints in {self.folder} can be read: "
                f"{', '.join(path.name for path in files)}. "
                "Start over with --overwrite."
            )
        return {}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.npz"), key=_place_of)


def _place_of(path: Path) -> tuple[int, int]:
    """Returns the epochs done, and the steps after them, of a checkpoint's name."""
    epoch, _, step = path.stem.removeprefix("epoch-").partition("-step-")
    return int(epoch), int(step or 0)


def load_checkpoint(path: Path, variables: Sequence[Any]) -> None:
    """Assigns the first variables of one checkpoint, those of the model.

    Args:
        path: The file.
        variables: The variables of a model like the one that was saved.

    Raises:
        ValueError: If the file cannot be read or is of another network.
    """
    try:
        arrays = _read(path)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as a checkpoint: {error}") from error
    for name in ("progress", "features"):
        arrays.pop(name, None)
    _assign(variables, list(arrays.values())[: len(variables)], path)


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return _load(file)


def _load(file: BinaryIO) -> dict[str, Any]:
    with np.load(file, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _as_bytes(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _of_bytes(data: bytes) -> dict[str, Any]:
    return _load(io.BytesIO(data))


def _array(variable: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _assign(variables: Sequence[Any], arrays: list[Any], path: Path) -> None:
    shapes = [tuple(variable.shape) for variable in variables]
    stored = [array.shape for array in arrays]
    if shapes != stored:
        raise ValueError(
            f"{path} is of another network: it holds {len(stored)} variables, this one "
            f"has {len(shapes)}, or their shapes differ. Start over with --overwrite."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
