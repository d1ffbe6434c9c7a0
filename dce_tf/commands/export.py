"""Exports the model of a run or of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.commands.flags.export import DATA
from dce_tf.commands.selecting import named_source, values_of
from dce_tf.export import EXPORT_FORMATS
from dce_tf.hub.address import is_on_hub
from dce_tf.network.backbones.model_file import read_model
from dce_tf.network.model import EmbeddingModel
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.exporting import (
    ExportSettings,
    export_model,
    export_run,
)
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.plain import plain_config
from dce_tf.runs.plugged import settings_of
from dce_tf.runs.pushed import PushedModel
from dce_tf.runs.training_images import TrainingImages


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Exports."""
    source = named_source(settings, arguments)
    index, given = settings["top_k_index"], settings["output_dir"]
    wanted = ExportSettings(
        format=settings["format"],
        precision=settings["precision"],
        embedding_learners=settings["embedding_learners"],
        whiten=settings["whiten"],
        places=settings["places"],
        top_k_index=Path(index) if index else None,
        top_k=settings["top_k"],
        folder=Path(given) if given else None,
    )
    EXPORT_FORMATS.check(wanted.format)
    data = values_of(settings, DATA)
    if is_on_hub(source):
        print(_export_pushed(source, settings["image_size"], wanted, data))
        return 0
    path = Path(source)
    export = _export_file if path.suffix == ".keras" else _export_run
    print(export(path, settings["image_size"], wanted, data))
    return 0


def _export_pushed(
    source: str, image_size: int | None, wanted: ExportSettings, data: dict[str, Any]
) -> Path:
    pushed = PushedModel.fetch(source)
    if image_size not in (None, pushed.image_size):
        raise UsageError(
            f"--image_size={image_size}: {source} has {pushed.image_size}. Leave the "
            "flag out."
        )
    folder = wanted.folder or Path(f"{pushed.name}-export{wanted.suffix}")
    return export_model(
        pushed.model,
        pushed.image_size,
        folder,
        wanted,
        card=pushed.card,
        calibration=pushed.calibration,
        labels=pushed.labels,
        **_sources(pushed.image_size, data),
    )


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
    return export_model(
        model,
        image_size,
        folder,
        wanted,
        card={"name": path.stem},
        **_sources(image_size, data),
    )


def _sources(image_size: int, data: dict[str, Any]) -> dict[str, Any]:
    """Returns what an export learns from the data set that was named, if one was."""
    if not data:
        return {}
    config = plain_config({**data, "image_size": image_size})
    return {"training": TrainingImages(config)}


def _export_run(
    path: Path, image_size: int | None, wanted: ExportSettings, data: dict[str, Any]
) -> Path:
    run = RunDirectory.opened(path)
    config = settings_of(run, data)
    if image_size not in (None, config.data.image_size):
        raise UsageError(
            f"--image_size={image_size}: the run has {config.data.image_size}. Leave "
            "the flag out."
        )
    return export_run(run, load_best_model(run), run.report(), wanted, config)


def _read(path: Path) -> EmbeddingModel:
    model = read_model(path, str(path))
    if isinstance(model, EmbeddingModel):
        return model
    raise ValueError(
        f"{path} holds a {type(model).__name__}, not an EmbeddingModel, such as a "
        "run's checkpoints/best.keras or what `import` writes."
    )
