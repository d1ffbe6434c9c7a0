import numpy as np
import pytest
from sklearn.metrics import (
    adjusted_mutual_info_score,
    normalized_mutual_info_score,
    pair_confusion_matrix,
)

from dce_tf.clustering import (
    adjusted_mutual_information,
    normalized_mutual_information,
    pairwise_f1,
)


def labellings() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    pairs = []
    for groups in (1, 2, 7, 60):
        a, b = rng.integers(groups, size=(2, 200))
        pairs.append((a, np.where(rng.random(200) < 0.5, a, b)))
    return [*pairs, (np.arange(200), np.zeros(200, int)), (np.arange(9), np.arange(9))]


def test_equal_scikit_learn() -> None:
    for a, b in labellings():
        nmi, ami = normalized_mutual_info_score(a, b), adjusted_mutual_info_score(a, b)
        assert normalized_mutual_information(a, b) == pytest.approx(nmi, abs=1e-9)
        assert adjusted_mutual_information(a, b) == pytest.approx(ami, abs=1e-9)


def test_f1_equals_the_confusion_of_pairs() -> None:
    for a, b in labellings():
        (_, wrong), (missed, right) = pair_confusion_matrix(b, a)
        whole = 2 * right + wrong + missed
        expected = 2 * right / whole if whole else 0
        assert pairwise_f1(a, b) == pytest.approx(expected, abs=1e-9)


def test_hand_worked_numbers() -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    # I = ln 2, H(a) = ln 2, H(b) = 1.5 ln 2.
    assert normalized_mutual_information(a, b) == pytest.approx(1 / 1.25)
    # Dealing b's pair and two lone items to a's pairs: both of the pair together in 1
    # of 3 ways, with I = ln 2, else ln 2 / 2: expected 2/3 ln 2.
    expected = (1 - 2 / 3) / (1.25 - 2 / 3)
    assert adjusted_mutual_information(a, b) == pytest.approx(expected)
    # One pair of b, two of a, one in both.
    assert pairwise_f1(a, b) == pytest.approx(2 / 3)


def test_names_of_the_groups_do_not_matter() -> None:
    a = np.array([0, 0, 1, 1, 2])
    for score in (
        normalized_mutual_information,
        adjusted_mutual_information,
        pairwise_f1,
    ):
        assert score(a, 10 - a) == pytest.approx(1)


def test_unassigned_items_do_not_count() -> None:
    a, b = np.array([0, 0, 1, 1, -1]), np.array([5, 5, 6, 6, 5])
    assert normalized_mutual_information(a, b) == pytest.approx(1)
    assert pairwise_f1(a, b) == pytest.approx(1)
