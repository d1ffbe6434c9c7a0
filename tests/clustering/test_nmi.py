import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from dce_tf.clustering import normalized_mutual_information


def test_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for groups in (1, 2, 7, 60):
        a, b = rng.integers(groups, size=(2, 200))
        b = np.where(rng.random(200) < 0.5, a, b)
        expected = normalized_mutual_info_score(a, b)
        assert normalized_mutual_information(a, b) == pytest.approx(expected, abs=1e-9)


def test_hand_worked_number() -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    # I = ln 2, H(a) = ln 2, H(b) = 1.5 ln 2.
    assert normalized_mutual_information(a, b) == pytest.approx(1 / 1.25)


def test_names_of_the_groups_do_not_matter() -> None:
    a = np.array([0, 0, 1, 1, 2])
    assert normalized_mutual_information(a, 10 - a) == pytest.approx(1)


def test_unassigned_items_do_not_count() -> None:
    a, b = np.array([0, 0, 1, 1, -1]), np.array([5, 5, 6, 6, 5])
    assert normalized_mutual_information(a, b) == pytest.approx(1)
