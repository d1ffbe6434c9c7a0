import keras
import numpy as np
import pytest

from dce_tf.training.optimizer import GroupedAdam, ParameterGroup


def adam_by_loop(x, gradients, rate: float, decay: float) -> np.ndarray:
    m = v = np.zeros_like(x)
    for t, gradient in enumerate(gradients, 1):
        g = gradient + decay * x
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        x = x - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
    return x


def test_groups_have_their_own_rate_and_coupled_decay() -> None:
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(3, 2)), rng.normal(size=4)]
    gradients = [[rng.normal(size=s.shape) for s in starts] for _ in range(6)]
    variables = [keras.Variable(start, dtype="float32") for start in starts]
    optimizer = GroupedAdam(
        [ParameterGroup(variables[:1], 0.01, 0.1), ParameterGroup(variables[1:], 0.002)]
    )
    for step in gradients:
        optimizer.apply([keras.ops.cast(g, "float32") for g in step], variables)
    for i, (rate, decay) in enumerate([(0.01, 0.1), (0.002, 0.0)]):
        expected = adam_by_loop(starts[i], [step[i] for step in gradients], rate, decay)
        np.testing.assert_allclose(variables[i].numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("multiplier", [0.0, 0.5])
def test_learning_rate_multiplies_all_groups(multiplier: float) -> None:
    variable = keras.Variable(np.ones(1), dtype="float32")
    optimizer = GroupedAdam([ParameterGroup([variable], 0.1)])
    optimizer.learning_rate = multiplier
    optimizer.apply([keras.ops.ones(1)], [variable])
    assert variable.numpy()[0] == pytest.approx(1 - 0.1 * multiplier, abs=1e-5)
