"""From a run to a probability: calibrate, export, embed, index."""

import json
import shutil
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.export.calibration import find_calibration
from dce_tf.index import open_collection
from dce_tf.index.calibration import Calibration
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.train import train
from tests import fakes


def call(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    code = cli.main([*map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def succeed(capsys: pytest.CaptureFixture, *words: object) -> str:
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    return out


def fail(capsys: pytest.CaptureFixture, *words: object) -> str:
    code, _, err = call(capsys, *words)
    assert code in (1, 2)
    return err


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    root = tmp_path_factory.mktemp("run")
    fakes.write_csv(root / "data", num_classes=40, images_per_class=8)
    config = Config(
        dataset="csv",
        data_dir=str(root / "data"),
        log_dir=str(root / "log"),
        backbone="small",
        image_size=32,
        embedding_dim=16,
        num_clusters=2,
        num_epochs=1,
        full_embedding_epoch=0,
        finetune_epoch=0,
        batch_size=16,
        val_fraction=0.6,
        export=False,
    )
    train(config)
    return RunDirectory.of(config)


@pytest.fixture
def run(original: RunDirectory, tmp_path: Path) -> RunDirectory:
    """A run with 24 classes held out, not calibrated."""
    shutil.copytree(original.path, tmp_path / "run")
    return RunDirectory(tmp_path / "run")


@pytest.mark.slow
def test_what_was_learned_goes_from_the_run_to_the_index(
    run: RunDirectory, capsys
) -> None:
    out = succeed(capsys, "calibrate", run.path, "--far=0.5")
    assert "From a cosine of" in out
    assert "From 192 images of 24 classes that were not trained on." in out
    found = find_calibration(run.path)
    assert found is not None
    assert found.far == 0.5
    assert f"From a cosine of {found.threshold:.4f} on" in out
    version = Path(succeed(capsys, "export", run.path).strip().splitlines()[-1])
    in_card = find_calibration(version)
    assert in_card == found
    succeed(capsys, "embed", run.path)
    out = succeed(capsys, "index", run.path / "embeddings")
    assert "Scores have probabilities" in out
    collection = open_collection(str(run.path / "index"))
    among = collection.calibration
    collection.close()
    assert among is not None
    header_classes = round(0.5 / among.prior)
    assert among == found.for_classes(header_classes)
    assert header_classes > 1
    image = next(Path(run.config().data.data_dir).rglob("*.jpg"))
    words = ("search", run.path / "index", image)
    out = succeed(capsys, *words)
    assert "probability" in out
    (answer,) = json.loads(succeed(capsys, *words, "--json"))
    known = [hit["probability"] for hit in answer["hits"]]
    expected = among.probability([hit["score"] for hit in answer["hits"]])
    assert known == pytest.approx(expected.tolist())
    assert answer["unknown"] is (known[0] < 0.5)
    least = "--min_probability=1"
    out = succeed(capsys, *words, least)
    assert "unknown" in out
    (answer,) = json.loads(succeed(capsys, *words, least, "--json"))
    assert answer == {"image": str(image), "hits": [], "unknown": True}
    assert "expected a number, 0 to 1" in fail(capsys, *words, "--min_probability=2")


def test_json_is_what_is_stored(run: RunDirectory, capsys) -> None:
    out = succeed(capsys, "calibrate", f"--run={run.path}", "--far=0.5", "--json")
    assert json.loads(out) == json.loads(run.calibration_file.read_text())


@pytest.mark.slow
def test_a_calibration_of_another_epoch_is_not_exported(
    run: RunDirectory, capsys
) -> None:
    succeed(capsys, "calibrate", run.path, "--far=0.5")
    values = json.loads(run.calibration_file.read_text())
    run.calibration_file.write_text(json.dumps({**values, "fingerprint": "other"}))
    version = Path(succeed(capsys, "export", run.path).strip().splitlines()[-1])
    assert find_calibration(version) is None


@pytest.mark.slow
def test_exports_with_other_scores_are_not_called_calibrated(
    run: RunDirectory, capsys
) -> None:
    succeed(capsys, "calibrate", run.path, "--far=0.5")
    for flag in ("--embedding_learners=1", "--whiten=8"):
        words = ("export", run.path, flag)
        version = Path(succeed(capsys, *words).strip().splitlines()[-1])
        assert find_calibration(version) is None
    words = ("export", run.path, "--precision=float16")
    version = Path(succeed(capsys, *words).strip().splitlines()[-1])
    half = find_calibration(version)
    card = json.loads((version / "assets.extra" / "model_card.json").read_text())
    assert half is not None
    assert half.fingerprint == card["fingerprint"]


@pytest.mark.slow
def test_an_index_without_calibration_says_so_and_takes_one_later(
    run: RunDirectory, capsys
) -> None:
    succeed(capsys, "export", run.path)
    succeed(capsys, "embed", run.path)
    out = succeed(capsys, "index", run.path / "embeddings")
    assert "Scores have no probabilities" in out
    image = next(Path(run.config().data.data_dir).rglob("*.jpg"))
    words = ("search", run.path / "index", image)
    assert "probability" not in succeed(capsys, *words)
    message = fail(capsys, *words, "--min_probability=0.5")
    assert "index has scores and no probabilities: its model was not" in message
    again = ("index", run.path / "embeddings", "--overwrite")
    message = fail(capsys, *again, f"--calibration={run.path}")
    assert "found none there; expected a calibrated run" in message
    succeed(capsys, "calibrate", run.path, "--far=0.5")
    out = succeed(capsys, *again, f"--calibration={run.path}")
    assert "Scores have probabilities" in out
    values = json.loads(run.calibration_file.read_text())
    run.calibration_file.write_text(json.dumps({**values, "fingerprint": "other"}))
    message = fail(capsys, *again, f"--calibration={run.path}")
    assert "is of the model other, and the embeddings are of" in message
    run.calibration_file.write_text("[]")
    message = fail(capsys, *again, f"--calibration={run.path}")
    assert "calibration.json holds no calibration: expected an object" in message


def test_rates_that_cannot_be_promised_are_refused(run: RunDirectory, capsys) -> None:
    for far in ("0", "1", "-0.1", "nan"):
        assert "expected a share in (0, 1)" in fail(
            capsys, "calibrate", run.path, f"--far={far}"
        )
    message = fail(capsys, "calibrate", run.path, "--far=1e-6")
    assert "found 17,664 pairs of two classes, expected 10,000,000" in message
    assert not run.calibration_file.exists()


def test_other_data_are_refused(run: RunDirectory, tmp_path: Path, capsys) -> None:
    fakes.write_csv(tmp_path / "other", num_classes=41, images_per_class=8)
    message = fail(capsys, "calibrate", run.path, f"--data_dir={tmp_path / 'other'}")
    assert "These are not the data of the run" in message
    assert "pass the --data_dir of the run's own data" in message
    message = fail(capsys, "calibrate", tmp_path / "other")
    assert "is not a run directory" in message


def test_runs_without_classes_to_learn_from_are_refused(
    run: RunDirectory, capsys
) -> None:
    settings = json.loads(run.config_file.read_text())
    run.config_file.write_text(json.dumps({**settings, "val_fraction": 0.1}))
    message = fail(capsys, "calibrate", run.path)
    assert "found 4 of two images or more that were not trained on" in message
    none = {"val_fraction": 0.0, "select_on": "test"}
    run.config_file.write_text(json.dumps({**settings, **none}))
    message = fail(capsys, "calibrate", run.path)
    assert "has no classes to calibrate on: it was trained on all" in message


def test_stored_values_are_checked(run: RunDirectory, capsys) -> None:
    succeed(capsys, "calibrate", run.path, "--far=0.5")
    given = json.loads(run.calibration_file.read_text())
    assert Calibration.from_json(given, "x").as_json() == given
    run.calibration_file.write_text("{")
    assert "cannot be read as JSON" in fail(capsys, "export", run.path)
