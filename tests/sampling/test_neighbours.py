import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.sampling.neighbours import Neighbours
from dce_tf.sampling.request import BatchRequest

CLASSES, EACH = 30, 5
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(CLASSES), EACH))
MEANS = np.random.default_rng(1).normal(size=(CLASSES, 4)).astype(np.float32)
MEANS /= np.linalg.norm(MEANS, axis=1, keepdims=True)


def draw(sampler: Neighbours, steps: int = 30, **changes) -> np.ndarray:
    given = {
        "labels": LABELS.astype(np.int32),
        "rows": np.arange(len(LABELS)),
        "batch_size": 12,
        "samples_per_class": 2,
        "steps": steps,
        "rng": np.random.default_rng(0),
        "class_means": MEANS,
    }
    return sampler(BatchRequest(**{**given, **changes}))


def classes_of(batches: np.ndarray) -> list[set[int]]:
    return [set(LABELS[batch].tolist()) for batch in batches]


def test_batch_is_a_class_and_the_nearest_ones() -> None:
    nearest = {
        frozenset(np.argsort(-(MEANS @ MEANS[first]), kind="stable")[:6].tolist())
        for first in range(CLASSES)
    }
    found = classes_of(draw(Neighbours(share=1.0, wider=1.0)))
    # Every class began one of the batches, as there are as many.
    assert {frozenset(each) for each in found} == nearest


def test_share_of_the_batch_is_drawn_from_all() -> None:
    batches = draw(Neighbours(share=0.4, wider=1.0), steps=300)
    for classes in classes_of(batches):
        assert len(classes) == 6
    near = {
        first: set(np.argsort(-(MEANS @ MEANS[first]), kind="stable")[:3].tolist())
        for first in range(CLASSES)
    }
    # In each batch some class stands with its two nearest ones.
    for classes in classes_of(batches):
        assert any(near[first] <= classes for first in classes)
    counts = np.bincount(LABELS[batches].ravel(), minlength=CLASSES)
    assert counts.min() > 0.3 * counts.mean()


def test_images_of_a_class_stand_side_by_side() -> None:
    for batch in draw(Neighbours()):
        pairs = LABELS[batch].reshape(-1, 2)
        assert np.all(pairs[:, 0] == pairs[:, 1])
        assert len(set(batch.tolist())) == 12


def test_few_classes_repeat() -> None:
    rows = np.flatnonzero(LABELS < 4)
    for batch in draw(Neighbours(), rows=rows):
        assert set(LABELS[batch]) == {0, 1, 2, 3}


def test_only_classes_of_the_cluster_are_drawn() -> None:
    rows = np.flatnonzero(LABELS % 2 == 1)
    for classes in classes_of(draw(Neighbours(share=1.0), rows=rows)):
        assert all(each % 2 == 1 for each in classes)


def test_means_are_needed() -> None:
    with pytest.raises(ValueError, match="means of the classes"):
        draw(Neighbours(), class_means=None)


@pytest.mark.parametrize("options", [{"share": 1.5}, {"share": -0.1}, {"wider": 0.5}])
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(UsageError, match="expected"):
        Neighbours(**options)
