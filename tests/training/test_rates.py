import math

import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.training.rates import build_rates


def factors(spec: str, warmup: float = 0, epochs: int = 10) -> list[float]:
    rates = build_rates(spec, epochs, warmup)
    return [
        float(rates(tf.constant(float(done), tf.float64))) for done in range(epochs + 1)
    ]


def test_cosine_falls_to_its_end() -> None:
    expected = [(1 + math.cos(math.pi * done / 10)) / 2 for done in range(11)]
    assert factors("cosine") == pytest.approx(expected, abs=1e-6)
    assert factors("cosine(final=0.2)")[-1] == pytest.approx(0.2)
    assert factors("cosine(final=0.2)")[0] == pytest.approx(1)


def test_step_multiplies_from_the_first_step_of_its_epochs_on() -> None:
    # What ends with epoch 3 is the last step of the third, before epoch 3 begins.
    got = factors("step(epochs=(3, 7), factor=0.5)")
    assert got == [1] * 4 + [0.5] * 4 + [0.25] * 3
    rates = build_rates("step(epochs=3)", 10, 0)
    done = [2 + 739 / 740, 3, 3 + 1 / 740]
    got = [float(rates(tf.constant(each, tf.float64))) for each in done]
    assert got == pytest.approx([1, 1, 0.1])


def test_warm_up_rises_in_a_line_before_any_schedule() -> None:
    assert factors("constant", 4)[:6] == [0, 0.25, 0.5, 0.75, 1, 1]
    cosine = factors("cosine")
    got = factors("cosine", 4)
    assert got[2] == pytest.approx(cosine[2] / 2)
    assert got[5:] == cosine[5:]


def test_constant_rates_are_left_alone() -> None:
    assert build_rates("constant", 10, 0) is None


def test_scale_multiplies_all_along() -> None:
    for spec, warmup in (("constant", 0), ("constant", 4), ("cosine", 4)):
        scaled = build_rates(spec, 10, warmup, scale=4)
        plain = factors(spec, warmup) if (spec, warmup) != ("constant", 0) else [1] * 11
        got = [
            float(scaled(tf.constant(float(done), tf.float64))) for done in range(11)
        ]
        assert got == pytest.approx([4 * factor for factor in plain], abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "warmup", "message"),
    [
        ("cosin", 0, "cosine"),
        ("step", 0, "needs its epochs"),
        ("cosine(last=1)", 0, "final"),
        ("cosine", 11, "at most --num_epochs=10"),
    ],
)
def test_names_what_cannot_be(spec: str, warmup: float, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_rates(spec, 10, warmup)
