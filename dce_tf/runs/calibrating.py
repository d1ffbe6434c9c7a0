"""What the scores of a run mean: learned on its validation classes, kept beside it."""

from __future__ import annotations

from dce_tf.base.files import write_json
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.evaluation.evaluator import Embedder
from dce_tf.export.calibration import find_calibration
from dce_tf.export.fingerprint import fingerprint_model
from dce_tf.index.calibration import Calibration
from dce_tf.network.model import EmbeddingModel
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.retrieval.calibration import calibrate
from dce_tf.runs.loading import read_splits
from dce_tf.runs.own_data import other_data


def calibrate_run(
    run: RunDirectory,
    config: Config,
    splits: Splits,
    embedder: Embedder,
    model: EmbeddingModel,
    far: float | None,
    display: Display,
) -> Calibration:
    """Calibrates the best epoch of a run, and writes `calibration.json`.

    Args:
        run: The run.
        config: Its settings.
        splits: Its data, with the classes that were held out.
        embedder: Runs the model of its best epoch.
        model: That model.
        far: The rate of false accepts to promise; None for the lowest that is carried.
        display: Shows how far the embedding is.

    Raises:
        ValueError: If the run holds out no classes, or too few; if the data are others.
    """
    other = other_data(run, read_splits(config.data))
    if other is not None:
        raise ValueError(
            f"{other} Classes that the model was trained on would look too easy: pass "
            "the --data_dir of the run's own data."
        )
    if splits.val is None:
        raise ValueError(
            f"{run.path} has no classes to calibrate on: it was trained on all, with "
            "--val_fraction=0. Train with --val_fraction=0.1 or more."
        )
    paths = splits.val.paths
    with display.task("validation", len(paths)) as update:
        embeddings = embedder.embeddings(paths, lambda done: update(done, ""))
    calibration = calibrate(
        splits.val,
        embeddings,
        fingerprint=_fingerprint(model, config),
        far=far,
        exclude=config.evaluation.exclude,
        seed=config.run.random_seed,
    )
    write_json(run.calibration_file, calibration.as_json())
    return calibration


def read_calibration(run: RunDirectory, model: EmbeddingModel) -> Calibration | None:
    """Returns the calibration of a run, if it has one of its best epoch.

    Args:
        run: The run.
        model: Of its best epoch. A run that went on after it was calibrated may have
            another.

    Raises:
        ValueError: If the file is damaged.
    """
    found = find_calibration(run.path)
    if found is None or found.fingerprint != _fingerprint(model, run.config()):
        return None
    return found


def _fingerprint(model: EmbeddingModel, config: Config) -> str:
    size = config.data.image_size
    return fingerprint_model(model, image_size=size, precision="float32")
