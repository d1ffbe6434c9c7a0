import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from dce_tf import cli
from dce_tf.backbones import build_backbone
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.model import EmbeddingModel
from dce_tf.run_directory import RunDirectory
from tests import fakes


def evaluate(capsys: pytest.CaptureFixture, *words: object) -> tuple[int, str, str]:
    code = cli.main(["evaluate", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Two classes of two images; of class a, one lies nearer to b."""
    embeddings = np.array([[0, 0], [3, 0], [4, 0], [4, 1]], np.float32)
    np.save(tmp_path / "e.npy", embeddings)
    (tmp_path / "labels.txt").write_text("a\na\nb\nb\n")
    return tmp_path


def of_arrays(root: Path, *words: str) -> list[str]:
    labels = f"--labels={root / 'labels.txt'}"
    return [str(root / "e.npy"), labels, f"--output_dir={root / 'out'}", *words]


def test_arrays_are_searched_leave_one_out(arrays: Path, capsys) -> None:
    code, out, _ = evaluate(capsys, *of_arrays(arrays, "--nmi_runs=3"))
    assert code == 0
    assert "recall@1" in out
    result = json.loads((arrays / "out" / "evaluation.json").read_text())
    test = result["tests"]["test"]
    assert test["queries"] == test["gallery"] == 4
    # Image 0 finds 1; 1 finds 2; 2 finds 1 and 3 equally near, a miss; 3 finds 2.
    assert test["scores"]["recall@1"] == test["scores"]["map@r"] == 0.5
    assert test["scores"]["recall@2"] == 0.75
    assert 0 <= test["intervals"]["recall@1"][0] <= 0.5
    assert set(test["deviations"]) == {"nmi", "ami", "f1"}
    assert result["dataset"] is result["selected_on"] is None
    with Image.open(arrays / "out" / "recall_at.png") as image:
        assert image.size > (300, 200)


def test_json_is_all_that_is_printed(arrays: Path, capsys) -> None:
    code, out, _ = evaluate(capsys, *of_arrays(arrays, "--json"))
    assert code == 0
    assert json.loads(out)["tests"]["test"]["scores"]["recall@1"] == 0.5


def test_gallery_of_its_own(arrays: Path, capsys) -> None:
    np.save(arrays / "g.npy", np.array([[0, 1], [4, 2]], np.float64))
    np.save(arrays / "g_labels.npy", np.array(["a", "b"]))
    words = (f"--gallery={arrays / 'g.npy'}", "--json")
    labels = f"--gallery_labels={arrays / 'g_labels.npy'}"
    _, out, _ = evaluate(capsys, *of_arrays(arrays, *words, labels))
    test = json.loads(out)["tests"]["test"]
    assert (test["queries"], test["gallery"]) == (4, 2)
    assert test["scores"]["recall@1"] == 0.75


def test_reranking_has_lines_of_its_own(arrays: Path, capsys) -> None:
    words = ("--rerank=query_expansion(n=1)", "--rerank=k_reciprocal(k1=2, k2=1)")
    code, out, _ = evaluate(capsys, *of_arrays(arrays, *words))
    assert code == 0
    result = json.loads((arrays / "out" / "evaluation.json").read_text())
    assert set(result["reranked"]) == {word.removeprefix("--rerank=") for word in words}
    for word in words:
        assert f"recall@1, {word.removeprefix('--rerank=')}" in out


def test_slices_score_each_learner_and_growing_numbers(arrays: Path, capsys) -> None:
    words = ("--embedding_slices", "--num_clusters=2", "--json")
    _, out, _ = evaluate(capsys, *of_arrays(arrays, *words))
    lines = json.loads(out)["slices"]
    assert [line["learners"] for line in lines] == [[1], [2], [1, 2]]
    assert [line["bytes"] for line in lines] == [4, 4, 8]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["e.npy"], 2, "they need labels: give --labels"),
        (["e.npy", "--labels=labels.txt", "--gallery=e.npy"], 2, "--gallery_labels"),
        (["e.npy", "--labels=none.txt"], 1, "none.txt: cannot be read"),
        (["e.npy", "--labels=short.txt"], 1, "found 3 labels; expected 4"),
        (["flat.npy", "--labels=labels.txt"], 1, "expected numbers, .num_images"),
        (["labels.npy", "--labels=labels.txt"], 1, "cannot be read as .npy"),
        (["nan.npy", "--labels=labels.txt"], 1, "1 of 4 query embeddings are not"),
        (
            ["e.npy", "--labels=labels.txt", "--embedding_slices", "--num_clusters=3"],
            2,
            "cannot be cut into --num_clusters=3",
        ),
        (["e.npy", "--labels=labels.txt", "--exclude=same_camera"], 2, "group"),
        (["e.npy", "--labels=labels.txt", "--rerank=k_recip"], 2, "k_reciprocal"),
        (["e.npy", "--labels=labels.txt", "--submission=s.csv"], 2, "such as whale"),
        (["nothing"], 1, "is nothing that can be evaluated; expected a run"),
        (["model.keras"], 2, "Give --dataset"),
        (["model.keras", "--dataset=glyphs"], 2, "Give --image_size"),
    ],
)
def test_bad_input_is_named(
    arrays: Path, capsys, monkeypatch, words: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(arrays)
    np.save("flat.npy", np.zeros(4))
    np.save("nan.npy", np.array([[0], [1], [np.nan], [2]]))
    Path("labels.npy").write_text("no array")
    Path("short.txt").write_text("a\na\nb")
    Path("model.keras").write_text("no model")
    got, _, error = evaluate(capsys, *words)
    assert got == code, error
    assert message.replace(".num", "(num") in error
    assert not Path("evaluation.json").exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    root = tmp_path_factory.mktemp("whale")
    fakes.write_whale(root / "data", num_classes=16, size=40)
    broken = next((root / "data" / "test").iterdir())
    broken.write_bytes(b"")
    words = (
        "train",
        "--dataset=whale",
        f"--data_dir={root / 'data'}",
        "--allow_partial_data",
        "--max_bad_images=0.1",
        f"--log_dir={root / 'log'}",
        "--backbone=small",
        "--image_size=32",
        "--embedding_dim=16",
        "--num_clusters=2",
        "--num_epochs=1",
        "--finetune_epoch=1",
        "--batch_size=16",
        "--val_fraction=0.3",
    )
    assert cli.main(words) == 0
    (config,) = root.glob("log/default/*/config.json")
    return RunDirectory.opened(config.parent)


def scores_of(capsys: pytest.CaptureFixture, *words: object) -> dict:
    code, out, error = evaluate(capsys, *words, "--json")
    assert code == 0, error
    return json.loads(out)


@pytest.mark.slow
def test_every_form_of_a_model_scores_alike(run, tmp_path, capsys) -> None:
    config = run.config()
    first = scores_of(capsys, run.path, f"--output_dir={tmp_path}")
    assert first["selected_on"] == "val"
    assert first["tests"]["test"]["scores"] == run.report()["after"]
    checkpoint = max((run.path / "checkpoints").glob("epoch-*.npz"))
    again = scores_of(capsys, checkpoint, f"--output_dir={tmp_path}")
    assert again["tests"] == first["tests"]
    data = (
        "--dataset=whale",
        f"--data_dir={config.data_dir}",
        "--allow_partial_data",
        "--max_bad_images=0.1",
        f"--output_dir={tmp_path}",
    )
    model = next((run.path / "checkpoints").glob("*.keras"))
    for words in (
        (model, "--image_size=32"),
        (run.path / "export",),
        (run.path / "export" / "1",),
    ):
        other = scores_of(capsys, *words, *data)
        assert other["selected_on"] is None
        for metric, score in first["tests"]["test"]["scores"].items():
            got = other["tests"]["test"]["scores"][metric]
            assert got == pytest.approx(score, abs=1e-6), (words, metric)


@pytest.mark.slow
def test_a_run_is_scored_on_data_that_it_could_not_train_on(
    run, tmp_path, capsys
) -> None:
    root = fakes.write_csv(tmp_path, num_classes=2, images_per_class=2)
    data = ("--dataset=csv", f"--data_dir={root}", f"--output_dir={tmp_path}")
    result = scores_of(capsys, run.path, *data)
    assert (result["dataset"], result["selected_on"]) == ("csv", "val")
    assert result["tests"]["test"]["queries"] == 4


@pytest.mark.slow
def test_unknown_whales_are_scored_and_answered_for(run, tmp_path, capsys) -> None:
    path = tmp_path / "submission.csv"
    code, out, error = evaluate(
        capsys, run.path, f"--submission={path}", f"--output_dir={tmp_path}"
    )
    assert code == 0, error
    assert "chosen on val" in out
    assert "1 images to answer for could not be read" in out
    result = json.loads((tmp_path / "evaluation.json").read_text())["open_set"]
    assert result == run.report()["open_set"]
    assert result["queries"] == result_queries(run)
    assert -1 <= result["threshold"] <= 1
    low, high = result["intervals"]["map@5"]
    assert low <= result["scores"]["map@5"] <= high
    with path.open() as file:
        rows = list(csv.DictReader(file))
    sample = Path(run.config().data_dir) / "sample_submission.csv"
    with sample.open() as file:
        assert [row["Image"] for row in rows] == [
            row["Image"] for row in csv.DictReader(file)
        ]
    answers = [row["Id"].split() for row in rows]
    assert sorted(set(map(len, answers))) == [1, 5]
    assert all(len(set(answer)) == len(answer) for answer in answers)


def result_queries(run: RunDirectory) -> int:
    return run.report()["tests"]["test"]["queries"] + 8


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    keras.utils.set_random_seed(0)
    model = EmbeddingModel(build_backbone("small"), DivideConquerEmbedding(16))
    model.build((None, 32, 32, 3))
    path = tmp_path / "untrained.keras"
    model.save(path)
    return path


def test_crops_of_the_same_photograph_are_not_found(
    untrained: Path, tmp_path: Path, capsys
) -> None:
    # Each query is in the gallery again; the rest of its class looks like another's.
    rng = np.random.default_rng(0)
    lines = ["path,label,split,group"]
    for label in (0, 1):
        picture = fakes.draw_image(label, rng)
        for number in (0, 1):
            picture.save(tmp_path / f"{label}-{number}.png")
            lines.append(f"{label}-{number}.png,train {label},train,")
        fakes.draw_image(1 - label, rng).save(tmp_path / f"other-{label}.png")
        picture.save(tmp_path / f"query-{label}.png")
        picture.save(tmp_path / f"copy-{label}.png")
        lines += [
            f"query-{label}.png,class {label},query,photo {label}",
            f"copy-{label}.png,class {label},gallery,photo {label}",
            f"other-{label}.png,class {label},gallery,",
        ]
    (tmp_path / "index.csv").write_text("\n".join([*lines, ""]))
    words = (
        untrained,
        "--image_size=32",
        "--dataset=csv",
        f"--data_dir={tmp_path}",
        f"--output_dir={tmp_path}",
    )
    for exclude, expected in (("none", 1.0), ("same_image", 0.0)):
        result = scores_of(capsys, *words, f"--exclude={exclude}")
        assert result["exclude"] == exclude
        (test,) = result["tests"].values()
        assert test["scores"]["recall@1"] == expected
