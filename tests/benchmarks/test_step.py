import io
import json
import sys

import pytest

from benchmarks import step, workers
from benchmarks.contestants import serve
from benchmarks.contestants.setup import Setup
from benchmarks.multiply_adds import count_multiply_adds
from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel


def test_multiply_adds_are_those_of_the_kernels() -> None:
    backbone = build_backbone("small")
    sides = ((32, 3, 32), (16, 32, 64), (8, 64, 128), (4, 128, 256))
    expected = sum(side**2 * 9 * depth * width for side, depth, width in sides)
    assert count_multiply_adds(backbone, 32) == expected
    model = EmbeddingModel(backbone, DivideConquerEmbedding(10))
    model.build((None, 32, 32, 3))
    assert count_multiply_adds(model, 32) == expected + 256 * 10


@pytest.mark.slow
def test_multiply_adds_of_resnet50_are_the_published_ones() -> None:
    # 4.09 billion (torchvision), with a classifier of 2048 × 1000.
    counted = count_multiply_adds(build_backbone("resnet50(weights=None)"), 224)
    assert counted + 2048 * 1000 == pytest.approx(4.09e9, rel=1e-3)


def test_ratios_are_of_the_same_round() -> None:
    seconds = {"ours": [1.0, 2.0, 4.0], "PyTorch": [3.0, 2.0, 8.0]}
    table = step.make_table("title", seconds, {"compiled": "no"}, 10, 1e9, 1e11)
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == ["ours", "PyTorch", "compiled"]
    assert columns[1] == ["5.0", "3.3", "no"]
    assert columns[4][:2] == ["1.00", "2.00"]
    assert columns[5][:2] == ["5%", "3%"]


def test_first_round_of_turns_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "REST_SECONDS", 0)
    asked = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def seconds(self, steps: int) -> float:
            asked.append(self.name)
            return float(len(asked) * steps)

    fakes = {name: Fake(name) for name in "ab"}
    taken = workers.take_turns(fakes, {"a": 2, "b": 5}, 2)
    assert asked == ["a", "b"] * 3
    assert taken == {"a": [3.0, 5.0], "b": [4.0, 6.0]}


def test_contestant_times_blocks_on_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    counts = []
    monkeypatch.setattr(serve, "build", lambda *_: counts.append)
    monkeypatch.setattr(sys, "argv", ["serve", "keras", "{}"])
    monkeypatch.setattr(sys, "stdin", io.StringIO("3\n5\n"))
    serve.main()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert counts == [3, 5]
    assert lines[0] == {"ready": True}
    assert all(line["seconds"] >= 0 for line in lines[1:])


def test_without_pytorch_a_contestant_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["serve", "torch", "{}"])
    serve.main()
    assert json.loads(capfd.readouterr().out) == {"missing": serve.MISSING}


def test_failed_contestant_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup("none", 8, 4)
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(RuntimeError, match="ended with code 1"):
        workers.Worker("keras", "train: ours", setup, {"PATH": "/usr/bin:/bin"})


def test_batch_holds_four_images_of_each_class() -> None:
    images, labels = Setup("small", 8, 12).draw()
    assert images.shape == (12, 8, 8, 3)
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert 0 <= images.min() < images.max() <= 255


def test_threads_are_those_of_every_library() -> None:
    environment = step.environment(3)
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    assert [environment[name] for name in names] == ["3"] * 3
