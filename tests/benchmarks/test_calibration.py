import re

from benchmarks.calibration import Trial
from dce_tf.datasets import Search
from tests.retrieval.test_calibration import drawn


def trial(num_classes: int) -> Trial:
    images, x = drawn(100, 100)
    return Trial(*drawn(0, num_classes), Search("test", images, images), x, x)


def test_what_is_promised_stands_beside_what_is_met() -> None:
    far, promised, met, ratio, tar = trial(100).cells(0.1)
    low, high = map(float, promised.split(" to "))
    assert far == "0.1"
    assert low < 0.1 < high
    assert abs(float(met) / 0.1 - float(ratio)) < 0.01
    assert 0 < float(tar) < 1
    assert re.search(r"error of pairs 0\.\d+, of searches 0\.\d+", trial(100).errors())


def test_a_refusal_is_shown_and_ends_nothing() -> None:
    _, promised, met, ratio, _ = trial(20).cells(0.001)
    assert re.fullmatch(r"refused: takes \d+ classes", promised)
    assert met[0] == ratio[0] == "("
    _, promised, *_ = trial(20).cells(1e-6)
    assert promised == "refused: too few pairs"
    assert trial(9).errors() == "no rate is carried (refused: too few classes)"
