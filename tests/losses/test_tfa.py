"""TensorFlow Addons: its losses as they are, and ours agree."""

import importlib.util
import sys

import numpy as np
import pytest

from dce_tf.errors import UsageError
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
    return float(build_loss(spec, Space(x.shape[1], 8))(x, labels))


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_addons") is None,
    reason="tensorflow-addons is not installed; it is for Python up to 3.11",
)
@pytest.mark.parametrize("theirs", AGREE)
def test_ours_agrees(theirs: str) -> None:
    for seed in range(5):
        x = np.random.default_rng(seed).normal(size=(16, 8)).astype(np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        labels = np.repeat(np.arange(4), 4).astype(np.int32)
        expected = value(theirs, x, labels)
        assert expected > 0
        assert value(AGREE[theirs], x, labels) == pytest.approx(expected, rel=1e-4)
    assert "keras.src.engine" not in sys.modules, "the stand-in stayed behind"


def test_says_what_to_use_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.startswith("tensorflow_addons")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(tfa.importlib.util, "find_spec", lambda _: None)
    tfa._load.cache_clear()
    with pytest.raises(UsageError, match=r"ended in May 2024.*triplet\(margin=1.0\)"):
        build_loss("tfa_triplet_semihard", Space(8, 8))
