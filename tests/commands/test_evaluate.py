import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from dce_tf import cli
from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.record.run_directory import RunDirectory
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
    common = [labels, f"--output_dir={root / 'out'}", "--metric=euclidean"]
    return [str(root / "e.npy"), *common, *words]


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
        (["e.npy", "--labels=none.txt"], 1, "none.txt: no such file"),
        (["e.npy", "--labels=short.txt"], 1, "found 3 labels; expected 4"),
        (["flat.npy", "--labels=labels.txt"], 1, "real numbers of shape .num_images"),
        (["labels.npy", "--labels=labels.txt"], 1, "cannot be read as .npy"),
        (["nan.npy", "--labels=labels.txt"], 1, "1 of 4 query embeddings are not"),
        (
            ["e.npy", "--labels=labels.txt", "--embedding_slices", "--num_clusters=3"],
            2,
            "cannot be cut into --num_clusters=3",
        ),
        (["e.npy", "--labels=labels.txt", "--exclude=same_camera"], 2, "group"),
        (["e.npy", "--labels=labels.txt", "--rerank=k_recip"], 2, "k_reciprocal"),
        (["e.npy", "--labels=labels.txt", "--rerank=local"], 2, "Name a run, a check"),
        (["e.npy", "--labels=labels.txt", "--submission=s.csv"], 2, "such as whale"),
        (["nothing"], 1, "is nothing that can be evaluated; expected a run"),
        (["model.keras"], 2, "Give --dataset"),
        (["model.keras", "--dataset=glyphs"], 1, "cannot be read as a Keras model"),
        (["e.npz", "--labels=labels.txt"], 2, "--labels goes with embeddings in a"),
        (["e.npz"], 1, "e.npz is no checkpoint of a run, which lies in RUN/check"),
        (["zip.npy", "--labels=labels.txt"], 1, "it is an archive, as numpy.savez"),
        (["complex.npy", "--labels=labels.txt"], 1, "complex.npy: The query must be"),
        (["e.npy", "--labels=labels.txt", "--dataset=csv"], 2, "--dataset: e.npy hol"),
        (["e.npy", "--labels=labels.txt", "--gallery_labels=x"], 2, "with --gallery"),
        (["e.npy", "--labels=alone.txt"], 1, "one image of each of 4 classes in te"),
        (["e.npy", "--labels=labels.txt", "--metric=dot"], 2, "--metric"),
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
    np.savez("e.npz", np.zeros((4, 2)))
    Path("zip.npy").write_bytes(Path("e.npz").read_bytes())
    np.save("complex.npy", np.zeros((4, 2), complex))
    Path("alone.txt").write_text("a\nb\nc\nd")
    before = sorted(Path().iterdir())
    got, _, error = evaluate(capsys, *words)
    assert got == code, error
    assert message.replace(".num", "(num") in error
    assert sorted(Path().iterdir()) == before


def searched(root: Path, capsys, labels: str, gallery_labels: str) -> dict:
    np.save(root / "eye.npy", np.eye(4))
    words = (f"--gallery={root / 'eye.npy'}", "--json")
    words += (f"--labels={root / labels}", f"--gallery_labels={root / gallery_labels}")
    out = f"--output_dir={root / 'out'}"
    code, text, error = evaluate(capsys, root / "eye.npy", out, *words)
    assert code == 0, error
    return json.loads(text)


@pytest.mark.parametrize(
    ("labels", "gallery_labels"),
    [
        ([1, 1, 2, 2], [1.0, 1.0, 2.0, 2.0]),
        ([1, 1, 2, 2], ["1", "1", "2", "2"]),
        (np.array([[1], [1], [2], [2]], np.uint8), [b"1", b"1 ", b"2", b" 2"]),
    ],
)
def test_labels_of_two_kinds_are_the_same_classes(
    arrays: Path, capsys, labels, gallery_labels
) -> None:
    np.save(arrays / "a.npy", labels)
    np.save(arrays / "b.npy", gallery_labels)
    result = searched(arrays, capsys, "a.npy", "b.npy")
    assert result["tests"]["test"]["scores"]["recall@1"] == 1


def test_vectors_without_length_or_of_others_are_told(arrays: Path, capsys) -> None:
    _, out, _ = evaluate(capsys, *of_arrays(arrays, "--json"))
    result = json.loads(out)
    assert result["metric"] == result["tests"]["test"]["metric"] == "euclidean"
    zero, lengths, few = result["warnings"]
    assert "1 of 4 embeddings are all zero" in zero
    assert "lengths from 3 to 4.12" in lengths
    assert "--metric=cosine" in lengths
    assert "rest on 2 classes" in few


def test_cosine_is_the_default_as_the_search_has_it(tmp_path: Path, capsys) -> None:
    # By direction, each finds its class; by length, the short ones find each other.
    embeddings = np.array([[1, 0], [9, 1], [0, 1], [1, 9]], np.float16)
    np.save(tmp_path / "e.npy", embeddings)
    np.save(tmp_path / "l.npy", np.array([0, 0, 1, 1]))
    words = (tmp_path / "e.npy", f"--labels={tmp_path / 'l.npy'}", "--json")
    words += (f"--output_dir={tmp_path}",)
    for metric, expected in (("", 1.0), ("--metric=euclidean", 0.5)):
        result = scores_of(capsys, *words, *([metric] if metric else []))
        assert result["tests"]["test"]["scores"]["recall@1"] == expected


def test_classes_that_find_nothing_are_told(arrays: Path, capsys) -> None:
    (arrays / "labels.txt").write_text("a\na\nb\nc\n")
    _, out, _ = evaluate(capsys, *of_arrays(arrays, "--json"))
    assert "2 classes of test have one image" in json.loads(out)["warnings"][0]


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
        f"--data_dir={config.data.data_dir}",
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
def test_second_look_of_a_run_is_that_of_its_export(run, tmp_path, capsys) -> None:
    out = f"--output_dir={tmp_path / 'scores'}"
    found = scores_of(capsys, run.path, out, "--rerank=local")
    looked = found["reranked"]["local"]["test"]["scores"]
    assert looked.keys() <= found["tests"]["test"]["scores"].keys()
    assert looked != found["tests"]["test"]["scores"]
    folder = tmp_path / "export"
    assert (
        cli.main(["export", str(run.path), f"--output_dir={folder}", "--places"]) == 0
    )
    data = (
        "--dataset=whale",
        f"--data_dir={run.config().data.data_dir}",
        "--allow_partial_data",
        "--max_bad_images=0.1",
        out,
    )
    capsys.readouterr()
    again = scores_of(capsys, folder / "1", *data, "--rerank=local")
    for metric, score in again["reranked"]["local"]["test"]["scores"].items():
        assert score == pytest.approx(looked[metric], abs=0.02), metric
    words = (run.path / "export" / "1", *data, "--rerank=local")
    code, _, error = evaluate(capsys, *words)
    assert code == 2
    assert "export RUN --places" in error


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
    sample = Path(run.config().data.data_dir) / "sample_submission.csv"
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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("dataset", "splits"), [("csv", ("test",)), ("folder", ("query", "gallery"))]
)
def test_data_without_a_train_split_are_enough(
    untrained: Path, tmp_path: Path, capsys, dataset: str, splits: tuple[str, ...]
) -> None:
    write = {"csv": fakes.write_csv, "folder": fakes.write_folder}[dataset]
    data = write(tmp_path / "data", num_classes=3, images_per_class=2, splits=splits)
    words = (f"--dataset={dataset}", f"--data_dir={data}", "--image_size=32")
    result = scores_of(capsys, untrained, *words, f"--output_dir={tmp_path}")
    assert result["tests"]["test"]["queries"] == 6


@pytest.mark.slow
def test_nothing_is_left_where_evaluation_fails(
    untrained: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    data = fakes.write_csv(tmp_path / "data", 3, 4, splits=("test",))
    next(data.rglob("*.jpg")).write_bytes(b"")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    words = (untrained, "--dataset=csv", f"--data_dir={data}", "--image_size=32")
    code, _, error = evaluate(capsys, *words)
    assert code == 1
    assert "1 of 12 images are broken" in error
    assert not list(Path().iterdir())
    code, _, error = evaluate(capsys, *words, "--max_bad_images=0.1")
    assert code == 0, error
    names = {"evaluation.json", "evaluation_bad_images.json", "recall_at.png"}
    assert {path.name for path in Path().iterdir()} == names


def test_verification_and_open_set_add_tables_and_a_curve(arrays: Path, capsys) -> None:
    code, out, _ = evaluate(capsys, *of_arrays(arrays, "--verification", "--open_set"))
    assert code == 0
    result = json.loads((arrays / "out" / "evaluation.json").read_text())
    pairs = result["verification"]["test"]
    # Cosines of one class are 0 (an embedding is zero) and 0.97, of two 0, 0, 0.97, 1.
    assert (pairs["positive_pairs"], pairs["negative_pairs"]) == (2, 4)
    assert pairs["auc"] == pytest.approx((0.5 + 0.5 + 2 + 0.5) / 8)
    assert set(pairs["tar_at_far"].values()) == {None}
    assert pairs["opis"] is None
    assert "4 pairs of two classes do not carry a FAR of 0.1 or" in out
    assert "DIR at FAR 0.1 (cosine)" in out
    assert result["identification"]["test"]["queries"] == 4
    assert "4 queries do not carry" in " ".join(out.split())
    with Image.open(arrays / "out" / "roc.png") as image:
        assert image.size > (300, 200)


def test_rates_that_pairs_carry_are_printed(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(20, size=600)
    embeddings = rng.normal(size=(20, 16))[labels] + rng.normal(size=(600, 16))
    np.save(tmp_path / "e.npy", embeddings)
    np.save(tmp_path / "l.npy", labels)
    words = (f"--labels={tmp_path / 'l.npy'}", f"--output_dir={tmp_path}")
    code, out, _ = evaluate(
        capsys, tmp_path / "e.npy", *words, "--verification", "--open_set"
    )
    assert code == 0
    result = json.loads((tmp_path / "evaluation.json").read_text())
    rate = result["verification"]["test"]["tar_at_far"]["0.001"]
    assert f"{rate['tar']:.4f} ({rate['threshold']:.4f})" in out
    assert rate["far"] <= 0.001
    found = result["identification"]["test"]["dir_at_far"]["0.1"]
    assert 0 < found["interval"][0] < found["dir"] < found["interval"][1] < 1
    assert f"{found['dir']:.4f}" in out
