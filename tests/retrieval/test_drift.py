"""Queries that look like the gallery, and queries that do not."""

import itertools

import numpy as np
import pytest

from dce_tf.retrieval.drift import BLOCK, FEWEST, Drift, measure_drift


def draw(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 16)) + shift * np.eye(16)[0] + 1


def mmd_by_loop(x: np.ndarray, y: np.ndarray, width: float) -> float:
    """One block of the test, by the definition (Gretton et al., 2012, equation 3)."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-((a - b) ** 2).sum() / (2 * width)))

    terms = [
        kernel(x[i], x[j])
        + kernel(y[i], y[j])
        - kernel(x[i], y[j])
        - kernel(x[j], y[i])
        for i, j in itertools.permutations(range(len(x)), 2)
    ]
    return float(np.mean(terms))


def test_queries_drawn_as_the_gallery_stay_below_three_and_others_do_not() -> None:
    gallery = draw(1000, 0)
    alike = [abs(measure_drift(draw(1000, seed), gallery).z) for seed in range(1, 21)]
    assert max(alike) < 4
    assert np.mean(alike) < 1.5
    moved = measure_drift(draw(1000, 1, shift=1.0), gallery)
    assert moved.z > 5
    assert moved.mean_distance > measure_drift(draw(1000, 1), gallery).mean_distance


def test_a_spread_that_the_mean_does_not_show_is_seen() -> None:
    gallery = draw(1000, 0)
    centre = gallery.mean(axis=0)
    narrow = centre + 0.3 * (draw(1000, 1) - centre)
    found = measure_drift(narrow, gallery)
    assert found.mean_distance < 0.01
    assert found.z > 5


def test_blocks_are_those_of_the_definition() -> None:
    queries, gallery = draw(FEWEST, 1, 0.3), draw(FEWEST, 2)
    rng = np.random.default_rng(7)
    x, y = (
        rng.permutation(each / np.linalg.norm(each, axis=1, keepdims=True))
        for each in (queries, gallery)
    )
    pairs = itertools.combinations(y, 2)
    width = float(np.median([((a - b) ** 2).sum() for a, b in pairs]))
    blocks = np.array(
        [
            mmd_by_loop(x[start : start + BLOCK], y[start : start + BLOCK], width)
            for start in range(0, FEWEST, BLOCK)
        ]
    )
    found = measure_drift(queries, gallery, seed=7)
    assert found.mmd == pytest.approx(blocks.mean())
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert found.z == pytest.approx(blocks.mean() / error)


def test_lengths_do_not_matter() -> None:
    x, y = draw(FEWEST, 1), draw(FEWEST, 2)
    longer = measure_drift(x * np.arange(1, FEWEST + 1)[:, None], y)
    expected = measure_drift(x, y)
    assert longer.z == pytest.approx(expected.z)
    assert longer.mean_distance == pytest.approx(expected.mean_distance)


def test_one_embedding_over_and_over_is_no_division_by_zero() -> None:
    same = np.ones((FEWEST, 4))
    assert measure_drift(same, same) == Drift(pytest.approx(0), 0, 0)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (draw(FEWEST - 1, 0), draw(FEWEST, 0), "received 499 and 500"),
        (draw(FEWEST, 0), draw(FEWEST, 0)[:, :3], "16 and 3 numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    x: np.ndarray, y: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure_drift(x, y)
