import math

import numpy as np
import pytest

from dce_tf.datasets import Images, Search
from dce_tf.index.calibration import Calibration
from dce_tf.retrieval import calibration as module
from dce_tf.retrieval.calibration import Threshold, calibrate
from dce_tf.retrieval.pair_histogram import count_pairs
from dce_tf.retrieval.pair_tiles import PairSet
from dce_tf.retrieval.score_maps import mean_errors
from dce_tf.retrieval.verification import Roc

DIM = 24


def drawn(
    seed: int, num_classes: int, images: int = 8, spread: float = 0.7
) -> tuple[Images, np.ndarray]:
    """Returns images of classes whose centres and spreads are drawn."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), images)[
        rng.permutation(num_classes * images)
    ]
    spreads = spread * rng.uniform(0.5, 1.5, num_classes)
    x = rng.normal(size=(num_classes, DIM))[labels]
    x += spreads[labels, None] * rng.normal(size=x.shape)
    names = tuple(map(str, range(num_classes)))
    paths = tuple(map(str, range(len(labels))))
    return Images(paths, labels.astype(np.int32), names), x


def curve(images: Images, x: np.ndarray) -> Roc:
    return Roc.of(count_pairs(PairSet(Search("s", images, images), x, x)))


def fitted(seed: int, num_classes: int, **settings) -> Calibration:
    images, x = drawn(seed, num_classes)
    return calibrate(images, x, fingerprint="model", **settings)


def test_rate_that_is_promised_is_met_on_other_classes() -> None:
    test = curve(*drawn(100, 400))
    inside = 0
    for seed in range(8):
        found = fitted(seed, 150, far=0.01)
        place = round((found.threshold + 1) * 2**15)
        met = test.far[place]
        assert 0.01 / 1.5 < met < 0.01 * 1.5
        inside += found.far_interval[0] <= met <= found.far_interval[1]
    assert inside >= 6


def test_probabilities_hold_on_other_classes() -> None:
    found = fitted(0, 100)
    images, x = drawn(100, 200)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    upper = np.triu_indices(len(x), 1)
    same = (images.labels[:, None] == images.labels)[upper]
    probability = found.probability((x @ x.T)[upper])
    log_loss, error = mean_errors(probability, same * 1.0, ~same * 1.0)
    assert error < 0.03
    assert log_loss == pytest.approx(found.log_loss, rel=0.2)
    # Without what was learned, a cosine taken for a probability is far off.
    plain = np.clip((x @ x.T)[upper], 1e-6, 1 - 1e-6)
    assert mean_errors(plain, same * 1.0, ~same * 1.0)[1] > 3 * error


def test_lowest_rate_that_is_carried_is_the_default() -> None:
    found = fitted(0, 60)
    with pytest.raises(ValueError, match="do not carry a false accept rate"):
        fitted(0, 60, far=found.far / 10)
    assert found.far_interval[1] <= 1.5 * found.far
    assert fitted(0, 60, far=found.far) == found


def test_too_few_classes_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(ValueError, match="found 9 of two images or more") as error:
        fitted(0, 9)
    assert "expected 10 or more" in str(error.value)
    with pytest.raises(ValueError, match=r"20 classes do not carry .* 0\.001") as error:
        fitted(0, 20, far=1e-3)
    needed = int(str(error.value).split("takes about ")[1].split()[0])
    assert needed > 20
    # With as many as it said, or twice that as it is an estimate, it is carried.
    assert fitted(0, 2 * needed, far=1e-3).far == 1e-3
    with pytest.raises(ValueError, match="cannot be measured: found 4,224 pairs"):
        fitted(0, 12, far=1e-5)


def test_lone_images_and_one_class_are_refused() -> None:
    images, x = drawn(0, 40, images=1)
    with pytest.raises(ValueError, match="found 0 of two images or more"):
        calibrate(images, x, fingerprint="model")


def test_a_collapsed_model_is_refused() -> None:
    images, x = drawn(0, 40)
    with pytest.raises(ValueError, match="cannot be measured"):
        calibrate(images, np.ones_like(x), fingerprint="model")


def test_pairs_that_the_protocol_hides_teach_nothing() -> None:
    images, x = drawn(0, 60)
    # Each image stands under two classes; the copy is in its group.
    groups = np.arange(len(x)).astype(np.int32) // 2
    labels = images.labels.copy()
    labels[1::2] = (labels[::2] + 1 + np.arange(len(x) // 2) % 59) % 60
    x[1::2] = x[::2]
    grouped = Images(images.paths, labels, images.class_names, groups)
    plain, hidden = (
        calibrate(grouped, x, fingerprint="model", far=0.1, exclude=exclude)
        for exclude in ("none", "same_image")
    )
    assert hidden.log_odds[-1] > plain.log_odds[-1] + 0.1


def test_many_images_are_cut_by_whole_classes(monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_IMAGES", 500)
    found = fitted(0, 100, far=0.1)
    assert found.num_images <= 500
    assert found.num_classes == found.num_images // 8


def test_error_of_a_rate_by_hand() -> None:
    # 4 classes whose error is log 1.5 / 1.645 are just enough; half of that takes 1.
    error = math.log(1.5) / 1.645
    assert Threshold(0.1, 0, 0.999 * error, 4).is_carried
    assert not Threshold(0.1, 0, 1.001 * error, 4).is_carried
    assert Threshold(0.1, 0, 2 * error, 4).num_needed == 16
    assert Threshold(0.1, 0, math.inf, 4).factor > 1e300
