"""From a run to the Hub, and from there into every command that takes a model."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import dce_tf
from dce_tf import cli
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.train import train
from tests import fakes
from tests.hub.conftest import WRITES
from tests.hub.stand_in import StandIn

BIRDS = "hf://ann/birds"
ROOT = Path(__file__).parents[2]
# So the client uploads; it is the client's to change.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<:DeprecationWarning")


def succeed(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    code = cli.main([*map(str, words)])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    assert WRITES not in captured.out
    return captured.out


def fail(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert cli.main([*map(str, words)]) in (1, 2)
    captured = capsys.readouterr()
    assert WRITES not in captured.out + captured.err
    return captured.err


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return fakes.write_csv(tmp_path / "data", num_classes=4, images_per_class=4)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_model_of_the_hub_is_embedded_with_indexed_searched_and_scored(
    hub: StandIn,
    version: Path,
    data: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = succeed(capsys, "push", version.parent, BIRDS)
    address = f"{BIRDS}@{hub.repositories['ann/birds'].head}"
    assert f"Written: {address}" in out
    assert f"serve {BIRDS}" in out
    assert f"Nothing has changed: {address}" in succeed(
        capsys, "push", version.parent, BIRDS
    )
    images = f"--images={data / 'images'}"
    succeed(capsys, "embed", BIRDS, images, "--output_dir=embeddings")
    out = succeed(capsys, "index", "embeddings", "--output_dir=index")
    assert f"serve {address} --index=index" in "".join(out.split("\n")).replace(
        "  ", " "
    )
    photo = next(data.rglob("*.jpg"))
    (found,) = json.loads(succeed(capsys, "search", "index", photo, "--json"))
    assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    words = (f"--run={BIRDS}", "--json")
    assert json.loads(succeed(capsys, "search", "index", photo, *words)) == [found]
    csv = ("--dataset=csv", f"--data_dir={data}")
    scored = json.loads(succeed(capsys, "evaluate", BIRDS, *csv, "--json"))
    assert scored["source"] == address
    assert (here / "evaluation.json").is_file()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(here / "other"))
    err = fail(capsys, "search", "index", photo)
    assert f"was not fetched from there yet. Pass --run={address}." in err
    err = fail(capsys, "index", "embeddings", "--output_dir=again")
    assert f"Pass --calibration={address}, which fetches it." in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["push"], "push RUN hf://user/name; received 0 words"),
        (["push", "log/run"], "received 1 words"),
        (["push", "log/run", "ann/birds"], "ann/birds: expected hf://user/name"),
        (["push", "log/run", "hf://birds"], "hf://birds: expected hf://user/name"),
        (["push", BIRDS, BIRDS], "of this machine"),
        (["push", "log/run", BIRDS], "log/run: found no folder run/"),
        (["push", "log/run", BIRDS, "--with_keras"], "is not a run directory"),
        (["evaluate", "hf://"], "hf://: expected hf://user/name"),
        (["evaluate", BIRDS], "no such repository"),
        (["calibrate", BIRDS], "an exported model, not a run. Calibrate the run"),
        (["report", BIRDS], "an exported model, not a run. Name the run"),
        (["export", BIRDS], "no such repository"),
    ],
    ids=" ".join,
)
def test_bad_input_is_refused_in_a_sentence(
    hub: StandIn,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert message in fail(capsys, *words)


def test_model_without_keras_has_no_other_formats(
    hub: StandIn,
    version: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    succeed(capsys, "push", version, BIRDS)
    for words in (["export", BIRDS], ["export", f"--run={BIRDS}", "--format=onnx"]):
        assert "has no model.keras" in fail(capsys, *words)
    with pytest.raises(ValueError, match=r"has no model\.keras"):
        dce_tf.load_model(BIRDS)
    assert list(here.iterdir()) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of one epoch, done, with its export."""
    root = tmp_path_factory.mktemp("run")
    fakes.write_csv(root / "data", num_classes=12, images_per_class=8)
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
        val_fraction=0.3,
    )
    train(config)
    return RunDirectory.of(config)


@pytest.mark.slow
def test_run_comes_back_to_be_exported_and_trained_on(
    hub: StandIn,
    run: RunDirectory,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    succeed(capsys, "push", run.path, BIRDS, "--with_keras", "--license=mit")
    files = hub.repositories["ann/birds"].files
    for name, content in files.items():
        assert str(run.path.parents[2]).encode() not in content, name
    card = json.loads(files["assets.extra/model_card.json"])
    recall = card["test"]["scores"]["recall@1"]
    assert f"| recall@1 | {recall:.4f} |" in files["README.md"].decode()
    model = dce_tf.load_model(BIRDS)
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    expected = load_best_model(run)(images).numpy()
    np.testing.assert_array_equal(model(images).numpy(), expected)
    folder = Path(succeed(capsys, "export", BIRDS, "--format=keras").strip())
    assert folder == Path("birds-export-keras/1")
    exported = keras.models.load_model(folder / "model.keras")
    np.testing.assert_allclose(exported(images).numpy(), expected, atol=1e-6)
    again = json.loads((folder / "model_card.json").read_text())
    for key in ("fingerprint", "test", "data", "trained_with"):
        assert again[key] == card[key]
    labels = files["assets.extra/labels.txt"].decode()
    assert (folder / "labels.txt").read_text() == labels
    assert "birds has 32" in fail(capsys, "export", BIRDS, "--image_size=64")
    config = run.config().data
    csv = ("--dataset=csv", f"--data_dir={config.data_dir}")
    words = ("--pictures=false", "--output_dir=doctor")
    succeed(capsys, "doctor", BIRDS, *csv, *words)
    source = json.loads((here / "doctor" / "doctor.json").read_text())["source"]
    assert source == f"{BIRDS}@{hub.repositories['ann/birds'].head}"


@pytest.mark.slow
def test_keras_model_of_other_weights_than_the_export_is_refused(
    hub: StandIn,
    run: RunDirectory,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run.path, copied)
    model = load_best_model(RunDirectory(copied))
    model.embedding.bias.assign_add(np.ones(16))
    model.save(copied / "checkpoints" / "best.keras")
    assert "are two models" in fail(capsys, "push", copied, BIRDS, "--with_keras")
    assert hub.requests == []


@pytest.mark.slow
def test_process_of_its_own_reads_token_and_endpoint_from_the_environment(
    hub: StandIn,
    version: Path,
    data: Path,
    tmp_path: Path,
) -> None:
    def call(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        return subprocess.run(
            [sys.executable, str(ROOT / "main.py"), *words],
            env={**os.environ, **home, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    pushed = call("push", str(version), BIRDS)
    assert (pushed.returncode, pushed.stderr) == (0, "")
    embed = ("embed", BIRDS, f"--images={data / 'images'}", "--output_dir=embeddings")
    assert call(*embed, HF_TOKEN="").returncode == 1
    done = call(*embed)
    assert (done.returncode, done.stderr) == (0, "")
    again = call(*embed, "--overwrite", HF_HUB_OFFLINE="1", HF_TOKEN="")
    assert (again.returncode, again.stderr) == (0, "")
    offline = call("embed", "hf://ann/fish", HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert "HF_HUB_OFFLINE is set, and it is not in the cache" in offline.stderr
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if WRITES.encode() in path.read_bytes()]
