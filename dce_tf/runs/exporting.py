"""Export of a run's best epoch, or of a model file, in any format."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest
from dce_tf.config import Config
from dce_tf.export import EXPORT_FORMATS, ServableEmbedder, write_version
from dce_tf.export.calibration import calibration_card
from dce_tf.export.formats import ExportFormat
from dce_tf.export.truncation import drop_heads, keep_learners
from dce_tf.export.whitening import (
    Whitening,
    check_width,
    fit_whitening,
    project,
    whiten_model,
)
from dce_tf.index.calibration import Calibration
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.places import PlaceHead
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.calibrating import read_calibration
from dce_tf.runs.card import model_card
from dce_tf.runs.training_images import TrainingImages


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """What an export shall be.

    Attributes:
        format: Name of a format, with options.
        precision: What weights are stored as; default: what the format does.
        embedding_learners: How many learners are kept; default: all.
        whiten: To how many numbers the embedding is whitened; default: it is not.
        places: Whether it has what a second look needs.
        top_k_index: Embeddings or an index, for a signature that searches.
        top_k: How many that signature finds.
        folder: Holds the versions; default: beside the source.
    """

    format: str = "saved_model"
    precision: str | None = None
    embedding_learners: int | None = None
    whiten: int | None = None
    places: bool = False
    top_k_index: Path | None = None
    top_k: int = 10
    folder: Path | None = None

    @property
    def suffix(self) -> str:
        """What tells the folder of a format from that of another, `""` or `"-onnx"`."""
        name, _ = EXPORT_FORMATS.check(self.format)
        return "" if name == "saved_model" else f"-{name}"


def export_run(
    run: RunDirectory,
    model: EmbeddingModel,
    report: Mapping[str, Any] | None,
    settings: ExportSettings | None = None,
    data: Config | None = None,
    wait: Callable[[], None] = lambda: None,
) -> Path:
    """Exports the model of a run as its next version; returns where.

    Args:
        run: The run.
        model: Of its best epoch.
        report: For the card; None as long as the run is not done.
        settings: What the export shall be; default: a SavedModel.
        data: Where images to calibrate on lie; default: as in training.
        wait: As in `write_version`.
    """
    settings = settings or ExportSettings()
    config = run.config()
    labels = run.labels_file
    return export_model(
        model,
        config.data.image_size,
        settings.folder or run.export.with_name(f"{run.export.name}{settings.suffix}"),
        settings,
        card=model_card(config, report, run.teacher()),
        calibration=read_calibration(run, model),
        labels=labels.read_text("utf-8").splitlines() if labels.is_file() else (),
        training=TrainingImages(data or config, run.bad_images_file),
        wait=wait,
    )


def export_model(
    model: EmbeddingModel,
    image_size: int,
    folder: Path,
    settings: ExportSettings,
    *,
    card: Mapping[str, Any],
    calibration: Calibration | None = None,
    labels: Sequence[str] = (),
    training: TrainingImages | None = None,
    wait: Callable[[], None] = lambda: None,
) -> Path:
    """Exports a model as the next version in a folder; returns where.

    Args:
        model: What to export.
        image_size: Side of its images.
        folder: Holds the versions.
        settings: What the export shall be.
        card: What else there is to know of the model.
        calibration: What its scores mean; left out of the card where the export has
            other scores: with fewer learners, whitened, or with weights of 8 bits.
        labels: The classes it was trained on.
        training: What it may learn from: how to quantise, whiten, and compare places.
        wait: As in `write_version`.

    Raises:
        UsageError: If the settings do not fit each other or the model.
    """
    export_format = EXPORT_FORMATS.build(
        settings.format,
        top_k_index=settings.top_k_index,
        top_k=settings.top_k,
        real_images=training and training.draw,
    )
    if settings.top_k_index is not None and not export_format.has_search:
        raise UsageError(
            f"--top_k_index={settings.top_k_index}: a gallery fits into "
            f"--format=saved_model only; received --format={settings.format}."
        )
    if settings.places and not export_format.explains:
        raise UsageError(
            f"--places: a second look is for --format=saved_model only; received "
            f"--format={settings.format}."
        )
    precision = _check_precision(settings.precision, export_format)
    if settings.embedding_learners is not None:
        model = keep_learners(model, settings.embedding_learners)
    model = drop_heads(model)
    if settings.whiten is not None:
        model, whitening = _whitened(model, settings.whiten, training)
        card = {**card, "whitening": whitening.as_json()}
    head = _places(model, training) if settings.places else None
    embedder = ServableEmbedder(model, image_size, precision, head)
    if calibration is not None and _scores_alike(settings, precision):
        card = {**card, **calibration_card(calibration)}
    return write_version(embedder, export_format, folder, card, labels, wait)


def _scores_alike(settings: ExportSettings, precision: str) -> bool:
    changed = settings.embedding_learners, settings.whiten
    return changed == (None, None) and precision != "int8"


def _whitened(
    model: EmbeddingModel, kept: int, training: TrainingImages | None
) -> tuple[EmbeddingModel, Whitening]:
    check_width(kept, model.embedding.units)
    if training is None:
        raise UsageError(
            f"--whiten={kept} is learned from training images: pass --dataset and "
            "--data_dir, or name a run."
        )
    whitening = fit_whitening(project(model, training.features(model)), kept)
    return whiten_model(model, whitening), whitening


def _places(model: EmbeddingModel, training: TrainingImages | None) -> PlaceHead:
    if training is None:
        raise UsageError(
            "--places is learned from training images: pass --dataset and --data_dir, "
            "or name a run."
        )
    return training.places(model)


def _check_precision(precision: str | None, export_format: ExportFormat) -> str:
    known = export_format.precisions
    if precision is not None and precision not in known:
        raise UsageError(
            f"--precision={precision}: --format={export_format.name} has "
            f"{' and '.join(known)}.{suggest(precision, known)}"
        )
    return precision or known[0]
