import numpy as np
import pytest

from dce_tf.retrieval.heat import MatchHeat, heat_maps

RNG = np.random.default_rng(0)


def test_heat_equals_a_plain_loop() -> None:
    shares = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
    others = RNG.normal(size=(2, 5)).astype(np.float32)
    found = heat_maps(shares, others)
    assert found.dtype == np.float32
    for n, row, column in np.ndindex(2, 3, 4):
        expected = sum(shares[n, row, column, d] * others[n, d] for d in range(5))
        assert found[n, row, column] == pytest.approx(expected, abs=1e-5)


def test_hand_worked_match() -> None:
    # Embeddings (1, 0) and (0.6, 0.8): a cosine of 0.6.
    images = np.array([[[[0.75, 0.5], [0.25, -0.5]]]], np.float32)
    others = np.array([[[[0.5, 0.2]], [[0.1, 0.6]]]], np.float32)
    found = MatchHeat.of(images, others)
    np.testing.assert_allclose(found.scores, [0.6], rtol=1e-6)
    np.testing.assert_allclose(found.images, [[[0.85, -0.25]]], rtol=1e-6)
    np.testing.assert_allclose(found.others, [[[0.5], [0.1]]], rtol=1e-6)
