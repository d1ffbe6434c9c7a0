"""TensorFlow Addons: its losses as they are, and ours agree."""

import importlib.util
import sys

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.losses import Space, build_loss, tfa

AGREE = {
    "tfa_triplet_semihard": "triplet(margin=1.0)",
    "tfa_triplet_semihard(margin=0.3)": "triplet(margin=0.3)",
    "tfa_triplet_hard": "triplet(margin=1.0, kind=hard)",
    "tfa_triplet_hard(soft=True)": "triplet(kind=hard, soft=True)",
    "tfa_lifted_struct": "lifted_structure",
    "tfa_npairs": "n_pairs",
    "tfa_contrastive": "contrastive(miner=all)",
    "tfa_contrastive(margin=1.3)": "contrastive(miner=all, negative_margin=1.3)",
}


def value(spec: str, x: np.ndarray, labels: np.ndarray) -> float:
    return float(build_loss(spec, Space(x.shape[1]), 8)(labels, x))


needs_addons = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_addons") is None,
    reason="tensorflow-addons is not installed; it is for Python up to 3.11",
)
# Sorted, in turns, and of no order, with 2, 4 and 6 images of a class.
ORDERS = (
    np.repeat(np.arange(4), 4),
    np.tile(np.arange(4), 4),
    np.array([7, 1, 7, 3, 1, 1, 7, 3, 1, 5, 7, 5, 5, 7, 5, 7]),
)


@needs_addons
@pytest.mark.parametrize("theirs", AGREE)
@pytest.mark.parametrize("labels", ORDERS, ids=("sorted", "in turns", "shuffled"))
def test_ours_agrees(theirs: str, labels: np.ndarray) -> None:
    for seed in range(3):
        x = np.random.default_rng(seed).normal(size=(16, 8)).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        expected = value(theirs, x, labels)
        assert expected > 0
        assert value(AGREE[theirs], x, labels) == pytest.approx(expected, rel=1e-4)
    assert "keras.src.engine" not in sys.modules, "the stand-in stayed behind"


@needs_addons
def test_n_pairs_of_a_perfect_embedding_cost_nothing() -> None:
    labels = np.array([0, 2, 1, 3, 3, 1, 0, 2])
    x = np.eye(8, dtype=np.float32)[labels]
    assert value("tfa_npairs(scale=50)", x, labels) < 1e-4


@needs_addons
@pytest.mark.parametrize("theirs", [name for name in AGREE if "(" not in name])
@pytest.mark.parametrize(
    "labels",
    [[3, 3], [0, 1, 2, 3], [5]],
    ids=("no negative", "no positive", "one"),
)
def test_what_cannot_be_compared_costs_nothing(theirs: str, labels: list) -> None:
    x = np.eye(8, dtype=np.float32)[labels]
    assert value(theirs, x, np.array(labels)) == pytest.approx(0, abs=1e-3)
    assert value(AGREE[theirs], x, np.array(labels)) == pytest.approx(0, abs=1e-3)


@needs_addons
def test_large_labels_stay_apart() -> None:
    # Theirs turns labels into float32, where these two classes would be one.
    labels = 2**24 + np.array([0, 1, 1, 0])
    x = np.eye(8, dtype=np.float32)[[0, 1, 1, 0]]
    assert value("tfa_npairs(scale=50)", x, labels) < 1e-4


def test_says_what_to_use_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("tensorflow_addons")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(tfa.importlib.util, "find_spec", lambda _: None)
    tfa._load.cache_clear()
    with pytest.raises(UsageError, match=r"ended in May 2024.*triplet\(margin=1.0\)"):
        build_loss("tfa_triplet_semihard", Space(8), 8)
