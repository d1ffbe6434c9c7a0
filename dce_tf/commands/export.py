"""Export a run, or a `.keras` file, as a SavedModel for TensorFlow Serving.

`export RUN` writes its best epoch as the next version to the run's own export/;
`export FILE.keras --image_size=224` writes to FILE-export/, or --output_dir.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from absl import flags

from dce_tf import config as config_module
from dce_tf.errors import UsageError
from dce_tf.export import export_saved_model
from dce_tf.model import EmbeddingModel
from dce_tf.run_directory import RunDirectory
from dce_tf.runs.outcome import export_run, load_best_model
from dce_tf.runs.selecting import define_run_flag, named_path


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, ["image_size"], unset=True)
    flags.DEFINE_string(
        "output_dir", None, "Holds the versions, 1, 2, ….", flag_values=values
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Exports."""
    path = named_path(settings, arguments)
    given = settings["output_dir"]
    folder = Path(given) if given else None
    export = _export_file if path.suffix == ".keras" else _export_run
    print(export(path, settings["image_size"], folder))
    return 0


def _export_file(path: Path, image_size: int | None, folder: Path | None) -> Path:
    model = _read(path)
    if image_size is None:
        raise UsageError(
            f"{path} does not say how large its images are: pass --image_size=224, or "
            "whatever it was trained with."
        )
    folder = folder or path.with_name(f"{path.stem}-export")
    return export_saved_model(model, image_size, folder)


def _export_run(path: Path, image_size: int | None, folder: Path | None) -> Path:
    run = RunDirectory.opened(path)
    if image_size not in (None, run.config().image_size):
        raise UsageError(
            f"--image_size={image_size}: the run has {run.config().image_size}. Leave "
            "the flag out."
        )
    return export_run(run, load_best_model(run), run.report(), folder)


def _read(path: Path) -> EmbeddingModel:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file.")
    model = keras.models.load_model(path, compile=False)
    if isinstance(model, EmbeddingModel):
        return model
    raise ValueError(
        f"{path} holds a {type(model).__name__}, not an EmbeddingModel, such as a "
        "run's checkpoints/best.keras or what `import` writes."
    )
