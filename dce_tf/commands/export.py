"""Export a run, or a `.keras` file, for serving: `export RUN`.

`export RUN` writes its best epoch as the next version, a SavedModel for TensorFlow
Serving, to the run's own export/; `export FILE.keras --image_size=224` to FILE-export/.

`--format` names another format; it goes to export-FORMAT/. Each export is run once and
refused if it does not embed as the model does. `litert_int8` is calibrated on training
images: those of the run, or of --dataset and --data_dir. `--top_k_index` takes what
`embed` or `index` made with the same model, exported with the same flags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
from absl import flags

from dce_tf import config as config_module
from dce_tf.errors import UsageError
from dce_tf.export import EXPORT_FORMATS
from dce_tf.model import EmbeddingModel
from dce_tf.run_directory import RunDirectory
from dce_tf.runs.exporting import (
    ExportSettings,
    export_model,
    export_run,
    image_source,
)
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.selecting import define_run_flag, named_path
from dce_tf.runs.sources import plain_config

_DATA = ("dataset", "data_dir")


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    for name, default, text in (
        ("format", "saved_model", f"What to write: {', '.join(EXPORT_FORMATS)}."),
        (
            "precision",
            None,
            "What weights are stored as: float32, or float16 for half the size, from "
            "which the network computes as it was trained.",
        ),
        (
            "output_dir",
            None,
            "Holds the versions, 1, 2, …; default: beside it.",
        ),
        (
            "top_k_index",
            None,
            "Folder of embeddings, or an index: adds the signature top_k, from "
            "image_bytes to the ids, scores and labels of the nearest of them.",
        ),
    ):
        flags.DEFINE_string(name, default, text, flag_values=values)
    flags.DEFINE_integer(
        "top_k", 10, "How many the signature top_k finds.", flag_values=values
    )
    flags.DEFINE_integer(
        "embedding_learners",
        None,
        "Keep the embedding of the first so many learners only; default: all.",
        flag_values=values,
    )
    config_module.define_flags(values, ["image_size", *_DATA], unset=True)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Exports."""
    path = named_path(settings, arguments)
    index, given = settings["top_k_index"], settings["output_dir"]
    wanted = ExportSettings(
        format=settings["format"],
        precision=settings["precision"],
        embedding_learners=settings["embedding_learners"],
        top_k_index=Path(index) if index else None,
        top_k=settings["top_k"],
        folder=Path(given) if given else None,
    )
    EXPORT_FORMATS.check(wanted.format)
    data = {name: settings[name] for name in _DATA if settings[name] is not None}
    export = _export_file if path.suffix == ".keras" else _export_run
    print(export(path, settings["image_size"], wanted, data))
    return 0


def _export_file(
    path: Path, image_size: int | None, wanted: ExportSettings, data: dict[str, Any]
) -> Path:
    model = _read(path)
    if image_size is None:
        raise UsageError(
            f"{path} does not say how large its images are: pass --image_size=224, or "
            "whatever it was trained with."
        )
    folder = wanted.folder or path.with_name(f"{path.stem}-export{wanted.suffix}")
    source = None
    if data:
        config = plain_config({**data, "image_size": image_size})
        source = image_source(config, folder / "bad_images.json")
    return export_model(
        model, image_size, folder, wanted, card={"name": path.stem}, real_images=source
    )


def _export_run(
    path: Path, image_size: int | None, wanted: ExportSettings, data: dict[str, Any]
) -> Path:
    run = RunDirectory.opened(path)
    config = run.config()
    if image_size not in (None, config.image_size):
        raise UsageError(
            f"--image_size={image_size}: the run has {config.image_size}. Leave "
            "the flag out."
        )
    data_config = dataclasses.replace(config, **data)
    return export_run(run, load_best_model(run), run.report(), wanted, data_config)


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
