"""Export of a run's best epoch, or of a model file, in any format."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dce_tf.base.errors import UsageError, first_line
from dce_tf.base.program import PROGRAM
from dce_tf.base.registry import suggest
from dce_tf.config import Config
from dce_tf.export import EXPORT_FORMATS, ServableEmbedder, write_version
from dce_tf.export.calibration import calibration_card
from dce_tf.export.formats import ExportFormat
from dce_tf.export.truncation import drop_heads, keep_learners
from dce_tf.export.whitening import (
    Whitening,
    check_count,
    check_width,
    fit_whitening,
    project,
    whiten_model,
)
from dce_tf.images import preprocessing
from dce_tf.index.calibration import Calibration
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.places import PlaceHead
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.broken import known_broken
from dce_tf.runs.calibrating import read_calibration
from dce_tf.runs.card import model_card
from dce_tf.runs.loading import read_splits
from dce_tf.runs.places import learn_places
from dce_tf.runs.session import build_extractor


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
        real_images=image_source(data or config, run.bad_images_file),
        features=feature_source(data or config, run.bad_images_file),
        places=place_source(data or config, run.bad_images_file),
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
    real_images: Callable[[int], Any] | None = None,
    features: Callable[[EmbeddingModel], Any] | None = None,
    places: Callable[[EmbeddingModel], PlaceHead] | None = None,
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
        real_images: Draws images to quantise with.
        features: Returns the features of images to learn whitening from.
        places: Learns what places are compared by.
        wait: As in `write_version`.

    Raises:
        UsageError: If the settings do not fit each other or the model.
    """
    export_format = EXPORT_FORMATS.build(
        settings.format,
        top_k_index=settings.top_k_index,
        top_k=settings.top_k,
        real_images=real_images,
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
        model, whitening = _whitened(model, settings.whiten, features)
        card = {**card, "whitening": whitening.as_json()}
    head = _places(model, places) if settings.places else None
    embedder = ServableEmbedder(model, image_size, precision, head)
    if calibration is not None and _scores_alike(settings, precision):
        card = {**card, **calibration_card(calibration)}
    return write_version(embedder, export_format, folder, card, labels, wait)


def _scores_alike(settings: ExportSettings, precision: str) -> bool:
    changed = settings.embedding_learners, settings.whiten
    return changed == (None, None) and precision != "int8"


def _whitened(
    model: EmbeddingModel, kept: int, features: Callable[[EmbeddingModel], Any] | None
) -> tuple[EmbeddingModel, Whitening]:
    check_width(kept, model.embedding.units)
    if features is None:
        raise UsageError(
            f"--whiten={kept} is learned from training images: pass --dataset and "
            "--data_dir, or name a run."
        )
    whitening = fit_whitening(project(model, features(model)), kept)
    return whiten_model(model, whitening), whitening


def _places(
    model: EmbeddingModel, learn: Callable[[EmbeddingModel], PlaceHead] | None
) -> PlaceHead:
    if learn is None:
        raise UsageError(
            "--places is learned from training images: pass --dataset and --data_dir, "
            "or name a run."
        )
    return learn(model)


def _check_precision(precision: str | None, export_format: ExportFormat) -> str:
    known = export_format.precisions
    if precision is not None and precision not in known:
        raise UsageError(
            f"--precision={precision}: --format={export_format.name} has "
            f"{' and '.join(known)}.{suggest(precision, known)}"
        )
    return precision or known[0]


def image_source(
    config: Config, bad_images_file: Path | None = None
) -> Callable[[int], Any]:
    """Returns what draws images of the training split, the same each time.

    Args:
        config: Names the data set.
        bad_images_file: The list of broken images, which are left out; None if there
            is none.

    Returns:
        From a number to at most that many images, float32 `(images, image_size,
        image_size, 3)`, 0 to 255.
    """

    def draw(count: int) -> Any:
        paths = _train_paths(config, bad_images_file)
        order = np.random.default_rng(0).permutation(len(paths))[:count]
        return np.stack([_read(paths[row], config.data.image_size) for row in order])

    return draw


def feature_source(
    config: Config, bad_images_file: Path | None = None
) -> Callable[[EmbeddingModel], Any]:
    """Returns what runs a model over the training split.

    Args:
        config: Names the data set.
        bad_images_file: The list of broken images, which are left out; None if there
            is none.

    Returns:
        From a model to the features of the images, float32 `(num_images,
        feature_dim)`. It raises a ValueError where there are no more of them than the
        embedding has numbers, and where one cannot be decoded.
    """

    def run(model: EmbeddingModel) -> Any:
        paths = _train_paths(config, bad_images_file)
        check_count(len(paths), model.embedding.units)
        display = Display()
        with _explained(), display.task("training images", len(paths)) as update:
            return build_extractor(model, config.data).features(
                paths, lambda done: update(done, "")
            )

    return run


def place_source(
    config: Config, bad_images_file: Path | None = None
) -> Callable[[EmbeddingModel], PlaceHead]:
    """Returns what learns from the training split what places are compared by.

    Args:
        config: Names the data set.
        bad_images_file: The list of broken images, which are left out; None if there
            is none.
    """

    def learn(model: EmbeddingModel) -> PlaceHead:
        with _explained():
            return learn_places(
                model, config.data, _train_paths(config, bad_images_file)
            )

    return learn


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Says of a training image that cannot be decoded what to do."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"A training image cannot be decoded: {first_line(error)}. `{PROGRAM} "
            "data` lists those that are broken. Mend or remove them."
        ) from error


def _train_paths(config: Config, bad_images_file: Path | None) -> list[str]:
    train = read_splits(config.data).train
    broken = (bad_images_file and known_broken(bad_images_file)) or {}
    return [path for path in train.paths if path not in broken]


def _read(path: str, image_size: int) -> Any:
    try:
        picture = preprocessing.open_picture(Path(path).read_bytes())
        return preprocessing.evaluation_image(picture, image_size)
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(
            f"{path} cannot be decoded: {first_line(error)}. Mend or remove it."
        ) from error
