import concurrent.futures
import copy
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from dce_tf.clustering.points import unit_length
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.training.extractor import Extractor, FixedFeatures, RunningFeatures
from tests import fakes

SIZE = 16


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = fakes.write_csv(tmp_path_factory.mktemp("data"), num_classes=3)
    return sorted(str(path) for path in root.rglob("*.jpg"))


def make_extractor(strategy=None) -> Extractor:
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(6, 3), keras.layers.ReLU()]
    )
    model = EmbeddingModel(backbone, DivideConquerEmbedding(4, 2))
    model.build((None, SIZE, SIZE, 3))
    return Extractor(model, SIZE, batch_size=5, strategy=strategy)


def test_results_are_in_order_whatever_the_last_batch_lacks(paths: list[str]) -> None:
    extractor = make_extractor()
    done: list[int] = []
    features = extractor.features(paths, done.append)
    assert features.shape == (len(paths), 6)
    assert done[-1] == len(paths)
    one = extractor.features(paths[7:8])
    np.testing.assert_allclose(features[7:8], one, rtol=1e-5)
    embeddings = extractor.embeddings(paths)
    np.testing.assert_allclose(
        embeddings, extractor.model.embed(features), rtol=1e-4, atol=1e-6
    )


def test_unit_features_have_length_one(paths: list[str]) -> None:
    extractor = make_extractor()
    expected = unit_length(extractor.features(paths))
    for runner in (extractor, FixedFeatures(extractor)):
        found = runner.unit_features(paths)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        # As they are of unit length, clustering need not copy them.
        assert unit_length(found) is found


def test_results_on_disk_are_those_in_memory(paths: list[str], tmp_path: Path) -> None:
    extractor = make_extractor()
    for run in (extractor.unit_features, extractor.embeddings):
        kept = run(paths, into=tmp_path)
        assert isinstance(kept, np.memmap)
        np.testing.assert_array_equal(kept, run(paths))
    assert not list(tmp_path.iterdir())


class Talker:
    """One of several processes, acted by a thread."""

    def __init__(self, index: int, said: list, barrier: threading.Barrier) -> None:
        self.index, self.count, self.is_chief = index, len(said), index == 0
        self._said, self._barrier = said, barrier

    def gather(self, array: np.ndarray) -> np.ndarray:
        self._said[self.index] = array
        self._barrier.wait()
        joined = np.concatenate(self._said)
        self._barrier.wait()
        return joined


def test_chief_gets_the_rows_of_all_processes_on_disk(tmp_path: Path) -> None:
    lengths = (9000, 4096, 0, 5000)
    rows = np.random.default_rng(0).random((sum(lengths), 3), np.float32)
    parts = np.split(rows, np.cumsum(lengths)[:-1])
    said, barrier = [None] * len(lengths), threading.Barrier(len(lengths))
    extractor = make_extractor()

    def act(index: int) -> np.ndarray:
        mine = copy.copy(extractor)
        mine._workers = Talker(index, said, barrier)
        return mine._gather_on_disk(parts[index], tmp_path)

    with concurrent.futures.ThreadPoolExecutor(len(lengths)) as pool:
        whole, *others = pool.map(act, range(len(lengths)))
    assert isinstance(whole, np.memmap)
    np.testing.assert_array_equal(whole, rows)
    for part, other in zip(parts[1:], others, strict=True):
        assert other is part


def test_no_images_are_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        make_extractor().features([])


def test_passes_are_traced_once(paths: list[str]) -> None:
    extractor = make_extractor()
    for count in (3, 5, 11):
        extractor.features(paths[:count])
        extractor.embeddings(paths[:count])
    for function in (extractor._features, extractor._embeddings):
        assert function.experimental_get_tracing_count() == 1
    assert extractor._pipelines._read.experimental_get_tracing_count() == 1


def test_fixed_features_are_computed_once(paths: list[str]) -> None:
    extractor = make_extractor()
    expected = extractor.embeddings(paths)
    passes = []
    run = extractor.features
    extractor.features = lambda *given: passes.append(1) or run(*given)
    fixed = FixedFeatures(extractor)
    for _ in range(2):
        np.testing.assert_allclose(fixed.embeddings(paths), expected, atol=1e-6)
        fixed.features(paths[:3])
    assert len(passes) == 2
    layer = extractor.model.embedding
    layer.kernel.assign(-layer.kernel)
    layer.bias.assign(-layer.bias)
    np.testing.assert_allclose(fixed.embeddings(paths), -expected, atol=1e-6)


def test_running_features_begin_with_a_pass_and_follow_the_steps() -> None:
    running = RunningFeatures()
    running.keep(np.array([0]), np.ones((1, 2), np.float32))
    assert running.values is None
    passes = []

    def extract() -> np.ndarray:
        passes.append(1)
        return np.zeros((3, 2), np.float32)

    assert not running.or_first(extract).any()
    running.keep(np.array([2, 0]), np.array([[1, 2], [3, 4]], np.float32))
    np.testing.assert_array_equal(running.or_first(extract), [[3, 4], [0, 0], [1, 2]])
    assert len(passes) == 1


@pytest.mark.slow
def test_features_on_disk_are_those_of_the_same_network_and_images(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    original = Extractor.features

    def features(self: Extractor, *given) -> np.ndarray:
        passes.append(len(given[0]))
        return original(self, *given)

    monkeypatch.setattr(Extractor, "features", features)
    extractor = make_extractor()
    first = FixedFeatures(extractor, tmp_path).features(paths)
    again = FixedFeatures(make_extractor(), tmp_path).features(paths)
    np.testing.assert_array_equal(first, again)
    assert len(passes) == 1
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-40])  # Cut short.
    np.testing.assert_array_equal(
        FixedFeatures(extractor, tmp_path).features(paths), first
    )
    FixedFeatures(extractor, tmp_path).features(paths[:5])
    kernel = extractor.model.backbone.weights[0]
    kernel.assign(2 * kernel.numpy())
    other = FixedFeatures(extractor, tmp_path).features(paths)
    assert np.any(other != first)
    assert passes == [len(paths), len(paths), 5, len(paths)]
    Path(paths[0]).touch()
    FixedFeatures(extractor, tmp_path).features(paths)
    assert len(passes) == 5
