"""A run, exported by the command line in every format, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.datasets import DATASETS
from dce_tf.export import EXPORT_FORMATS
from dce_tf.export.served import ServedModel
from dce_tf.export.whitening import fit_whitening, project
from dce_tf.images import preprocessing
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.places import learn_places
from dce_tf.runs.session import build_extractor
from dce_tf.runs.train import train
from dce_tf.runs.training_images import TrainingImages
from tests import fakes

SIZE = 32


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    return fakes.write_csv(root, num_classes=12, images_per_class=8)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of one epoch, done, with its export."""
    config = Config(
        dataset="csv",
        data_dir=str(data),
        log_dir=str(tmp_path_factory.mktemp("log")),
        backbone="small",
        image_size=SIZE,
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


@pytest.fixture(scope="module")
def files(data: Path) -> list[Path]:
    return sorted((data / "images").rglob("*.jpg"))[::8]


@pytest.fixture(scope="module")
def trained(run: RunDirectory, files: list[Path]) -> np.ndarray:
    """The embeddings of the files by the model of the best epoch."""
    extractor = build_extractor(load_best_model(run), run.config().data)
    return extractor.embeddings([str(path) for path in files])


def pixels(files: list[Path]) -> np.ndarray:
    decoded = (preprocessing.open_picture(path.read_bytes()) for path in files)
    return np.stack([preprocessing.evaluation_image(each, SIZE) for each in decoded])


def read(name: str, folder: Path, files: list[Path]) -> np.ndarray:
    """Embeds with an export; what it was calibrated on no longer matters."""
    reader = EXPORT_FORMATS.build(name, real_images=lambda count: np.zeros(count))
    return reader.embed(folder, pixels(files))


def export(capfd: pytest.CaptureFixture[str], *words: object) -> Path:
    assert cli.main(["export", *map(str, words)]) == 0
    return Path(capfd.readouterr().out.splitlines()[-1])


@pytest.mark.slow
def test_served_and_trained_embedding_agree(
    run: RunDirectory, files: list[Path], trained: np.ndarray
) -> None:
    served = tf.saved_model.load(str(run.export / "1")).signatures["serving_default"]
    encoded = tf.constant([path.read_bytes() for path in files])
    got = served(image_bytes=encoded)["embedding"].numpy()
    assert np.sum(got * trained, axis=1).min() >= 0.9999


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "litert_int8"])
def test_other_formats_embed_the_runs_images(
    name: str,
    run: RunDirectory,
    files: list[Path],
    trained: np.ndarray,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = export(capfd, run.path, f"--format={name}")
    assert folder == run.path / f"export-{name}" / "1"
    card = json.loads((folder / "model_card.json").read_text("utf-8"))
    assert card["test"]["scores"] == run.report()["after"]
    assert (folder / "labels.txt").read_text() == run.labels_file.read_text()
    lowest = 0.9 if name == "litert_int8" else 0.9999
    cosine = np.sum(read(name, folder, files) * trained, axis=1)
    assert cosine.min() >= lowest


@pytest.mark.slow
def test_int8_is_calibrated_on_the_training_split(
    run: RunDirectory,
    files: list[Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = run.checkpoints / "best.keras"
    words = ["--format=litert_int8", f"--output_dir={tmp_path / 'export'}"]
    size = f"--image_size={SIZE}"
    assert cli.main(["export", str(model), size, *words]) == 2
    assert "pass --dataset and --data_dir" in capfd.readouterr().err
    config = run.config()
    data = [f"--dataset={config.data.dataset}", f"--data_dir={config.data.data_dir}"]
    by_file = export(capfd, model, size, *words, *data)
    by_run = export(capfd, run.path, *words)
    one, other = (read("litert_int8", each, files) for each in (by_file, by_run))
    np.testing.assert_array_equal(one, other)
    assert cli.main(["export", str(run.path), *words, "--data_dir=/nowhere"]) == 1
    assert "/nowhere" in capfd.readouterr().err


@pytest.mark.slow
def test_broken_images_are_no_examples(run: RunDirectory, tmp_path: Path) -> None:
    root = fakes.write_csv(tmp_path / "data", num_classes=12, images_per_class=8)
    config = run.config().replace(data_dir=str(root))
    listed = tmp_path / "bad_images.json"
    whole = TrainingImages(config, listed).draw(1000)
    broken = DATASETS.build(config.data.dataset, data_dir=str(root)).train.paths[0]
    Path(broken).write_bytes(b"no image")
    with pytest.raises(ValueError, match=f"{broken} cannot be decoded"):
        TrainingImages(config, listed).draw(1000)
    listed.write_text(json.dumps({broken: "no image"}))
    assert len(TrainingImages(config, listed).draw(1000)) == len(whole) - 1
    few = TrainingImages(config, listed).draw(5)
    np.testing.assert_array_equal(few, TrainingImages(config, listed).draw(9)[:5])


@pytest.mark.slow
def test_learners_precision_and_folder_are_as_asked(
    run: RunDirectory,
    files: list[Path],
    trained: np.ndarray,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = export(
        capfd,
        run.path,
        "--embedding_learners=1",
        "--precision=float16",
        f"--output_dir={tmp_path / 'mine'}",
    )
    assert folder == tmp_path / "mine" / "1"
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    encoded = tf.constant([path.read_bytes() for path in files])
    got = served(image_bytes=encoded)["embedding"].numpy()
    expected = trained[:, :8] / np.linalg.norm(trained[:, :8], axis=1, keepdims=True)
    assert np.sum(got * expected, axis=1).min() >= 0.9999


@pytest.mark.slow
def test_whitening_is_learned_from_the_training_split(
    run: RunDirectory,
    files: list[Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = load_best_model(run)
    paths = DATASETS.build("csv", data_dir=run.config().data.data_dir).train.paths
    extractor = build_extractor(model, run.config().data)
    fitted = fit_whitening(project(model, extractor.features(paths)), 6)
    features = extractor.features([str(path) for path in files])
    expected = fitted(project(model, features))
    flag, fingerprints = "--whiten=6", set()
    config = run.config()
    data = [f"--dataset={config.data.dataset}", f"--data_dir={config.data.data_dir}"]
    by_file = (run.checkpoints / "best.keras", f"--image_size={SIZE}", *data)
    for words in ((run.path,), by_file):
        folder = export(capfd, *words, flag, f"--output_dir={tmp_path / 'out'}")
        served = tf.saved_model.load(str(folder)).signatures["serving_default"]
        encoded = tf.constant([path.read_bytes() for path in files])
        got = served(image_bytes=encoded)["embedding"].numpy()
        np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
        assert np.sum(got * expected, axis=1).min() >= 0.999
        card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
        assert card["whitening"]["fitted_on_training_images"] == len(paths)
        assert card["whitening"]["numbers_before"] == 16
        assert card["heat_maps"]["why_not"] is None
        fingerprints.add(card["fingerprint"])
    assert len(fingerprints) == 1
    card = json.loads(
        (run.export / "1" / "assets.extra" / "model_card.json").read_text()
    )
    assert card["fingerprint"] not in fingerprints


@pytest.mark.slow
def test_places_are_learned_from_the_training_split(
    run: RunDirectory,
    files: list[Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = export(capfd, run.path, "--places", f"--output_dir={tmp_path / 'out'}")
    config = run.config().data
    paths = DATASETS.build("csv", data_dir=config.data_dir).train.paths
    head = learn_places(load_best_model(run), config, paths)
    images = np.stack([image_of(path) for path in files])
    served = ServedModel(folder)
    vectors, codes = served.looks([str(path) for path in files])
    np.testing.assert_allclose(
        vectors, served.embeddings([str(path) for path in files]), atol=1e-6
    )
    assert codes.dtype == np.int8
    differences = np.abs(codes.astype(int) - np.asarray(head(images)).astype(int))
    assert differences.max() <= 1
    assert served.looks([])[1].shape == (0, *codes.shape[1:])
    # The embedding is the same, and so is the model.
    plain = run.export / "1"
    assert served.fingerprint == ServedModel(plain).fingerprint
    card = json.loads((folder / "assets.extra" / "model_card.json").read_text())
    assert card["places"] == {"numbers": codes.shape[2], "digest": served.place_codes}
    assert ServedModel(plain).place_codes is None
    with pytest.raises(UsageError, match=r"export\s+RUN --places"):
        ServedModel(plain).looks([str(files[0])])


def image_of(path: Path) -> np.ndarray:
    picture = preprocessing.open_picture(path.read_bytes())
    return preprocessing.evaluation_image(picture, SIZE).numpy()


def test_run_that_is_not_done_has_a_card_without_scores(
    run: RunDirectory,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RunDirectory, "report", lambda _: None)
    folder = export(capfd, run.path, f"--output_dir={tmp_path}")
    card = json.loads((folder / "assets.extra" / "model_card.json").read_text("utf-8"))
    assert card["test"] == {"scores": None, "intervals_95": None}
    assert card["data"]["dataset"] == "csv"
    assert len(card["fingerprint"]) == 64


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--format=onx"], 2, "Unknown export format 'onx'. Did you mean 'onnx'"),
        (["--format=onnx(opst=17)"], 2, "no option 'opst'. Did you mean 'opset'"),
        (["--precision=float61"], 2, "float32 and float16. Did you mean 'float16'"),
        (["--format=keras", "--precision=float16"], 2, "--format=keras has float32"),
        (["--format=onnx", "--top_k_index=x"], 2, "--format=saved_model only"),
        (["--embedding_learners=3"], 2, "2 learners. Use 1 to 2"),
        (["--whiten=17"], 2, "--whiten=17: the embedding has 16 numbers. Use 1 to 16"),
        (["--places", "--format=onnx"], 2, "a second look is for --format=saved_model"),
        (["--whiten=4", "--data_dir=/nowhere"], 1, "/nowhere"),
        (["--top_k_index=no/where"], 1, "no/where holds no embeddings"),
        (["--image_size=64"], 2, "--image_size=64: the run has 32"),
        (["--top-k=ten"], 2, "top_k=ten"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.slow
def test_what_cannot_be_is_refused_and_writes_nothing(
    run: RunDirectory,
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "export"
    given = ["export", str(run.path), f"--output_dir={folder}", *words]
    assert cli.main(given) == code
    assert message in capfd.readouterr().err
    assert not folder.exists() or list(folder.iterdir()) == []
