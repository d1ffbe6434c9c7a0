"""A run that learns from a teacher: what it keeps, refuses, and goes on from."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.config import Config, to_flags
from dce_tf.export.served import ServedModel
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.loading import read_splits
from dce_tf.runs.models import load_model
from dce_tf.runs.teacher import Teacher, check_no_teacher
from dce_tf.runs.train import train
from dce_tf.training.workers import Workers
from tests.runs.test_train import StopAfter, numbers
from tests.saved_models import write_saved_model

QUIET = Display(quiet=True)


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A teacher that knows the mean colour of an image."""
    return write_saved_model(tmp_path / "colours")


def opened(config: Config) -> Teacher:
    teacher = Teacher(config)
    teacher.open(RunDirectory.of(config))
    return teacher


def begin(config: Config) -> RunDirectory:
    """Makes a run that looks as if it had begun."""
    run = RunDirectory.of(config)
    run.prepare(config)
    if config.distillation.teacher is None:
        check_no_teacher(run)
    else:
        opened(config).check(run)
    run.write_metrics([{"epoch": -1}])
    return run


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"teacher_weight": 0.5}, "--teacher_weight=0.5 without a teacher"),
        ({"teacher_embedding_weight": 2.0}, "=2.0 without a teacher. Pass --teacher="),
        ({"teacher": "RUN", "teacher_weight": 0.0}, "such as --teacher_weight=1"),
        ({"teacher": "RUN", "teacher_weight": -1.0}, "must be at least 0"),
        ({"teacher": "RUN", "teacher_temperature": 0.0}, "must be at least 0.001"),
        ({"teacher": "RUN", "isolated_learners": True}, "the parts of all learners"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        Config(**settings)


def test_weights_have_the_defaults_that_the_help_names() -> None:
    assert Config().distillation.similarity_weight == 0
    assert Config(teacher="RUN").distillation.similarity_weight == 1
    only = Config(teacher="RUN", teacher_weight=0.0, teacher_embedding_weight=1.0)
    assert only.distillation.similarity_weight == 0


class FromPixels(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 3), tf.float32)])
    def embed(self, images: Any) -> Any:
        return tf.reduce_mean(images, (1, 2))


def test_what_is_no_teacher_is_refused_before_the_run(
    config: Config, tmp_path: Path
) -> None:
    own = RunDirectory.of(config)
    (tmp_path / "birds-run").mkdir()
    pixels = FromPixels()
    tf.saved_model.save(
        pixels, str(tmp_path / "pixels"), signatures={"serving_default": pixels.embed}
    )
    unscored = RunDirectory.of(config.replace(exp="unscored"))
    unscored.prepare(config.replace(exp="unscored"))
    images = keras.Input((None, None, 3))
    anything = keras.layers.GlobalAveragePooling2D()(images)
    keras.Model(images, anything).save(tmp_path / "any.keras")
    for name, found in (
        (tmp_path / "bird-run", r"nothing there. Did you mean 'birds-run'\?"),
        (tmp_path / "birds-run", "is nothing that can be evaluated; expected"),
        (tmp_path / "vectors.npy", "holds embeddings"),
        (tmp_path / "pixels", "float32 .*expected encoded images"),
        (tmp_path / "any.keras", "images of any size"),
        (unscored.path, "none of its epochs has been scored yet"),
        (own.path, "is the run that is to learn from it"),
        (own.path / "export" / "1", "give this one another --exp"),
        ("hf://alone", "expected hf://user/name"),
    ):
        with pytest.raises(UsageError, match=found):
            opened(config.replace(teacher=str(name)))
    assert not own.path.exists()


def test_embeddings_are_computed_once_and_kept(
    config: Config, colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config.replace(teacher=str(colours))
    run, splits = begin(config), read_splits(config.data)
    workers = Workers(tf.distribute.get_strategy())
    found = opened(config).embeddings(splits, run, workers, QUIET)
    expected = ServedModel(colours).embeddings(splits.train.paths)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    again = opened(config)
    with monkeypatch.context() as patched:
        patched.setattr(ServedModel, "embeddings", None)
        kept = again.embeddings(splits, run, workers, QUIET)
    np.testing.assert_array_equal(kept, found)
    # What a killed process has cut short is made again.
    (file,) = run.teacher_file.parent.glob("*.npy")
    file.write_bytes(file.read_bytes()[:100])
    mended = opened(config).embeddings(splits, run, workers, QUIET)
    np.testing.assert_array_equal(mended, found)


def test_a_run_goes_on_without_a_teacher_that_is_gone(
    config: Config, colours: Path
) -> None:
    config = config.replace(teacher=str(colours))
    run, splits = begin(config), read_splits(config.data)
    workers = Workers(tf.distribute.get_strategy())
    before = opened(config).embeddings(splits, run, workers, QUIET)
    facts = run.teacher()
    shutil.rmtree(colours)
    gone = opened(config)
    gone.check(run)
    found = gone.embeddings(splits, run, workers, QUIET)
    np.testing.assert_array_equal(found, before)
    assert run.teacher() == facts
    # Nothing tells what it was under another name, nor what it sees in other images.
    for changed in ({"teacher": f"{colours}-2"}, {"overwrite": True}, {"exp": "new"}):
        with pytest.raises(UsageError, match="there is nothing there"):
            opened(config.replace(**changed))
    (file,) = run.teacher_file.parent.glob("*.npy")
    file.rename(file.with_name("other.npy"))
    with pytest.raises(UsageError, match=r"nothing there, and .* Put it back"):
        gone.embeddings(splits, run, workers, QUIET)
    assert file.with_name("other.npy").is_file()


def test_images_without_a_direction_are_named(
    config: Config, colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config.replace(teacher=str(colours))
    run, splits = begin(config), read_splits(config.data)
    teacher = opened(config)

    def embeddings(self: Any, paths: Any, on_batch: Any) -> Any:
        vectors = np.ones((len(paths), 3), np.float32)
        vectors[2] = np.nan
        return vectors

    monkeypatch.setattr(ServedModel, "embeddings", embeddings)
    with pytest.raises(ValueError, match=f"1 of .*first is {splits.train.paths[2]}"):
        teacher.embeddings(splits, run, Workers(tf.distribute.get_strategy()), QUIET)


@pytest.mark.slow
def test_a_run_is_resumed_with_its_own_teacher_only(
    config: Config, colours: Path, tmp_path: Path
) -> None:
    taught = config.replace(teacher=str(colours))
    run = begin(taught)
    assert run.teacher() == opened(taught).facts()
    with pytest.raises(UsageError, match=f"Pass --teacher={colours} to resume"):
        check_no_teacher(run)
    other = write_saved_model(tmp_path / "other", shift=3.0)
    with pytest.raises(UsageError, match="is another one"):
        opened(taught.replace(teacher=str(other))).check(run)
    moved = colours.rename(tmp_path / "moved")
    opened(taught.replace(teacher=str(moved))).check(run)
    assert run.config().distillation.teacher == str(moved)
    plain = begin(config.replace(exp="plain"))
    with pytest.raises(UsageError, match="began without a teacher"):
        opened(taught.replace(teacher=str(moved))).check(plain)


def test_a_student_begins_as_it_would_without_a_teacher(
    config: Config, tmp_path: Path
) -> None:
    images = keras.Input((16, 16, 3))
    features = keras.layers.Conv2D(4, 3)(images)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    keras.Model(images, pooled).save(tmp_path / "teacher.keras")
    draws = []
    for teacher in (None, str(tmp_path / "teacher.keras")):
        keras.utils.set_random_seed(0)
        if teacher:
            opened(config.replace(teacher=teacher))
        draws.append(keras.random.uniform((3,), seed=keras.random.SeedGenerator()))
    np.testing.assert_array_equal(*draws)


@pytest.fixture(scope="module")
def large(base: Config, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run that was stopped after an epoch, and so has no export."""
    config = base.replace(
        log_dir=str(tmp_path_factory.mktemp("large")), embedding_dim=24, image_size=48
    )
    with pytest.raises(KeyboardInterrupt):
        train(config, callbacks=[StopAfter(1)], display=QUIET)
    return RunDirectory.of(config)


SHORT = {"num_epochs": 2, "full_embedding_epoch": 1, "finetune_epoch": 1}
WAYS: dict[str, dict[str, Any]] = {
    "map": {"teacher_embedding_weight": 0.5, "ema": 0.9, "micro_batch_size": 8},
    "masks": {"parts": "masks", "mixed_precision": "float16"},
    "features": {"trainable_blocks": 0, "augmentation": "none"},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_run_resumes_with_the_same_bits(
    config: Config, large: RunDirectory, way: str
) -> None:
    settings = config.replace(
        deterministic=True,
        export=False,
        teacher=str(large.path),
        **SHORT,
        **WAYS[way],
    )
    whole = settings.replace(exp="whole", export=True)
    report = train(whole, display=QUIET)
    with pytest.raises(KeyboardInterrupt):
        train(settings, callbacks=[StopAfter(0)], display=QUIET)
    assert train(settings, display=QUIET)["after"] == report["after"]
    run = RunDirectory.of(whole)
    assert numbers(RunDirectory.of(settings)) == numbers(run)
    # What it knows of its teacher.
    fingerprint = report["teacher"]["fingerprint"]
    card = run.path / report["export"] / "assets.extra" / "model_card.json"
    trained_with = json.loads(card.read_text())["trained_with"]
    assert trained_with["teacher"] == large.path.name
    assert trained_with["teacher_fingerprint"] == fingerprint
    # The export embeds as the model does, and has no map to the teacher's 24 numbers.
    exported = tf.saved_model.load(str(run.path / report["export"]))
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    images = images.astype(np.float32)
    found = exported.signatures["serve_tensor"](images=tf.constant(images))
    model = load_model(run.path)
    np.testing.assert_allclose(found["embedding"], model(images), atol=2e-3)
    assert not [v.path for v in model.variables if 24 in v.shape]
    checkpoint = next(iter(run.checkpoints.glob("*.npz")))
    assert cli.main(["evaluate", str(checkpoint), "--json"]) == 0


@pytest.mark.slow
def test_the_command_line_teaches_and_refuses(
    config: Config,
    large: RunDirectory,
    colours: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = config.replace(
        num_epochs=1, full_embedding_epoch=0, finetune_epoch=0, export=False
    )
    plain = train(short.replace(exp="plain"), display=QUIET)
    taught = short.replace(teacher=str(large.path), teacher_weight=2.0)
    assert cli.main(to_flags(taught)) == 0
    run = RunDirectory.of(taught)
    (untrained, epoch) = run.metrics()
    (before, alone) = RunDirectory.of(short.replace(exp="plain")).metrics()
    # The same student at first, and another loss then.
    assert untrained["map@r"] == before["map@r"]
    assert epoch["loss"] > alone["loss"]
    assert plain["teacher"] is None
    assert run.report()["teacher"]["source"] == str(large.path)
    moved = large.path.rename(large.path.with_name("moved"))
    assert cli.main(to_flags(taught)) == 0
    moved.rename(large.path)
    assert "is done already" in capsys.readouterr().out
    assert cli.main(to_flags(taught.replace(teacher=str(colours)))) == 2
    assert "is another one" in capsys.readouterr().err
    assert cli.main(to_flags(short)) == 2
    missing = short.replace(exp="new", teacher="no/such/run")
    assert cli.main(to_flags(missing)) == 2
    assert "there is nothing there" in capsys.readouterr().err
    assert not RunDirectory.of(missing).path.exists()
