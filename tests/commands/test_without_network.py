"""What runs no network does not load TensorFlow, whose import takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dce_tf.clustering import whole_division
from dce_tf.config import Config
from dce_tf.index.embeddings import Header, Part, write_part
from dce_tf.training.divisions import save_division
from tests import fakes

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from dce_tf import cli
code = cli.main(sys.argv[1:])
print(code, sorted({"tensorflow", "keras"} & set(sys.modules)), file=sys.stderr)
"""


def call(*words: object) -> tuple[str, str]:
    """Runs a command; returns its code with what it loaded, and all it printed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *said, last = done.stderr.splitlines()
    return last, done.stdout + "\n".join(said)


def write_folder_of_embeddings(folder: Path) -> Path:
    folder.mkdir()
    header = Header("f" * 64, 3, model=str(folder / "gone"), parts=1)
    names = ["a", "b", "c"]
    vectors = np.eye(3, dtype=np.float32)
    paths = [f"{name}.jpg" for name in names]
    metadata = [{}] * 3
    part = Part(1, 0, 0)
    write_part(folder / part.name, header, names, paths, names, metadata, vectors)
    return folder


def test_embeddings_in_a_file_are_scored_without_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(12, 4)).astype(np.float32))
    np.save(tmp_path / "y.npy", np.arange(12) // 3)
    last, said = call(
        "evaluate",
        tmp_path / "x.npy",
        f"--labels={tmp_path / 'y.npy'}",
        f"--output_dir={tmp_path}",
        "--verification",
    )
    assert (last, "recall@1" in said) == ("0 []", True)
    result = json.loads((tmp_path / "evaluation.json").read_text())
    assert "TensorFlow was not needed" in result["environment"]["device"]


def test_an_index_is_made_without_it_and_a_search_refused(tmp_path: Path) -> None:
    folder = write_folder_of_embeddings(tmp_path / "embeddings")
    last, said = call("index", folder)
    assert (last, "3 images" in said) == ("0 []", True)
    index = tmp_path / "index"
    last, said = call("search", tmp_path / "none", "photo.jpg")
    assert (last, str(tmp_path / "none") in said) == ("1 []", True)
    last, said = call("search", index, "photo.jpg", "--filter={")
    assert (last, "expected JSON" in said) == ("2 []", True)


def test_a_page_without_images_is_written_without_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "clusters").mkdir(parents=True)
    config = Config(dataset="csv", data_dir="data", val_fraction=0.3)
    (run / "config.json").write_text(config.to_json())
    score = {"stage": "divide", "evaluated_on": "val", "recall@1": 0.5, "map@r": 0.2}
    lines = [{"epoch": epoch, **score} for epoch in (-1, 0)]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
    save_division(whole_division(np.arange(6) // 2), run / "clusters/epoch-0000.npz")
    last, said = call("report", run, "--noimages")
    assert (last, "report.html" in said) == ("0 []", True)
    assert (run / "report.html").is_file()


@pytest.mark.parametrize("command", ["data", "evaluate"])
def test_what_is_not_there_is_refused_without_it(tmp_path: Path, command: str) -> None:
    data = fakes.write_csv(tmp_path / "data", num_classes=4, images_per_class=2)
    (data / "index.csv").write_text("what,is\nthis,?\n")
    words = ["--dataset=csv", f"--data_dir={data}"] if command == "data" else []
    path = [] if command == "data" else [tmp_path / "x.npy", "--labels=no.npy"]
    last, _ = call(command, *path, *words)
    assert last in ("1 []", "2 []")
