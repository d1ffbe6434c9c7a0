import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.training.optimizer import (
    OPTIMIZERS,
    GroupedAdam,
    LossScaled,
    ParameterGroup,
)

NAMES = ("adam", "adamw", "sgd")


def adam(x, gradients, rate, decay=0.0, decoupled=False) -> np.ndarray:
    m = v = np.zeros_like(x)
    for t, gradient in enumerate(gradients, 1):
        g = gradient if decoupled else gradient + decay * x
        x = x - rate * decay * x if decoupled else x
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        x = x - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
    return x


def sgd(x, gradients, rate, decay=0.0) -> np.ndarray:
    m = np.zeros_like(x)
    for gradient in gradients:
        m = 0.9 * m - rate * (gradient + decay * x)
        x = x + m
    return x


BY_LOOP = {
    "adam": adam,
    "adamw": lambda *args: adam(*args, decoupled=True),
    "sgd": sgd,
}


def apply(optimizer, gradients, variables) -> None:
    optimizer.apply([tf.constant(g, tf.float32) for g in gradients], variables)


@pytest.mark.parametrize("name", NAMES)
def test_groups_have_their_own_rate_and_decay(name: str) -> None:
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(3, 2)), rng.normal(size=4)]
    gradients = [[rng.normal(size=s.shape) for s in starts] for _ in range(6)]
    variables = [keras.Variable(start, dtype="float32") for start in starts]
    groups = [
        ParameterGroup(variables[:1], 0.01, 0.1),
        ParameterGroup(variables[1:], 0.002),
    ]
    optimizer = OPTIMIZERS.build(name, groups=groups)
    for step in gradients:
        apply(optimizer, step, variables)
    for i, (rate, decay) in enumerate([(0.01, 0.1), (0.002, 0.0)]):
        own = [step[i] for step in gradients]
        expected = BY_LOOP[name](starts[i], own, rate, decay)
        np.testing.assert_allclose(variables[i].numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("multiplier", [0.0, 0.5])
def test_learning_rate_multiplies_all_groups(multiplier: float) -> None:
    variable = keras.Variable(np.ones(1), dtype="float32")
    optimizer = GroupedAdam([ParameterGroup([variable], 0.1)])
    optimizer.learning_rate = multiplier
    optimizer.apply([keras.ops.ones(1)], [variable])
    assert variable.numpy()[0] == pytest.approx(1 - 0.1 * multiplier, abs=1e-5)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("name", NAMES)
def test_parts_without_a_gradient_stand_still_to_the_bit(name: str, axis: int) -> None:
    rng = np.random.default_rng(0)
    variable = keras.Variable(rng.normal(size=(4, 6)), dtype="float32")
    group = ParameterGroup([variable], 0.1, 0.1, num_parts=2, axis=axis)
    optimizer = OPTIMIZERS.build(name, groups=[group])

    def half(part: int, values: np.ndarray) -> np.ndarray:
        return np.split(values, 2, axis=axis)[part]

    for step in range(6):
        moving = step % 2
        gradient = rng.normal(size=(4, 6))
        half(1 - moving, gradient)[...] = 0
        state = [variable, *optimizer.state_of(variable)[:-1]]
        before = [np.array(each) for each in state]
        apply(optimizer, [gradient], [variable])
        for each, old in zip(state, before, strict=True):
            np.testing.assert_array_equal(
                half(1 - moving, np.array(each)), half(1 - moving, old)
            )
            assert np.all(half(moving, np.array(each)) != half(moving, old))


@pytest.mark.parametrize("name", NAMES)
def test_a_part_trains_as_if_it_were_alone(name: str) -> None:
    # Also under Adam, whose correction of the start depends on the number of steps.
    rng = np.random.default_rng(0)
    start = rng.normal(size=(2, 3))
    variable = keras.Variable(start, dtype="float32")
    group = ParameterGroup([variable], 0.1, 0.1, num_parts=2, axis=0)
    optimizer = OPTIMIZERS.build(name, groups=[group])
    turns, own = [0, 1, 1, 0, 1, 1, 1], [[], []]
    for part in turns:
        gradient = np.zeros((2, 3))
        gradient[part] = rng.normal(size=3)
        own[part].append(gradient[part])
        apply(optimizer, [gradient], [variable])
    for part in range(2):
        expected = BY_LOOP[name](start[part], own[part], 0.1, 0.1)
        np.testing.assert_allclose(
            variable.numpy()[part], expected, rtol=2e-4, atol=1e-5
        )


def clipped_step(strategy: tf.distribute.Strategy, limit: float) -> list[np.ndarray]:
    with strategy.scope():
        variables = [keras.Variable(np.zeros(3)), keras.Variable(np.zeros(2))]
        groups = [ParameterGroup(variables, 1.0)]
        optimizer = OPTIMIZERS.build("sgd(momentum=0)", groups=groups, clip_norm=limit)
    count = strategy.num_replicas_in_sync

    @tf.function
    def step() -> None:
        def on_replica() -> None:
            # Each replica has its own share of a gradient of length 5.
            place = tf.distribute.get_replica_context().replica_id_in_sync_group
            share = tf.cast(place + 1, tf.float32) / sum(range(1, count + 1))
            gradients = [
                share * tf.constant([3.0, 0, 0]),
                share * tf.constant([0, 4.0]),
            ]
            optimizer.apply(gradients, variables)

        strategy.run(on_replica)

    step()
    return [-variable.numpy() for variable in variables]


@pytest.mark.parametrize(("limit", "factor"), [(1.0, 0.2), (2.5, 0.5), (10.0, 1.0)])
def test_whole_gradient_is_clipped_on_any_number_of_devices(
    two_devices, limit: float, factor: float
) -> None:
    for strategy in (tf.distribute.get_strategy(), two_devices):
        first, second = clipped_step(strategy, limit)
        np.testing.assert_allclose(first, [3 * factor, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(second, [0, 4 * factor], rtol=1e-5)


def test_state_of_a_variable_has_a_row_for_each_of_its_rows() -> None:
    variable = keras.Variable(np.zeros((4, 6)))
    other = keras.Variable(np.zeros(2))
    groups = [
        ParameterGroup([other], 1),
        ParameterGroup([variable], 1, num_parts=4, axis=0),
    ]
    shapes = [tuple(s.shape) for s in GroupedAdam(groups).state_of(variable)]
    assert shapes == [(4, 6), (4, 6), (4,)]
    assert [tuple(s.shape) for s in GroupedAdam(groups).state_of(other)] == [(2,), (2,)]


@pytest.mark.parametrize("overflowing", [None, 0, 1])
def test_overflow_on_any_device_skips_the_step_and_lowers_the_scale(
    two_devices, overflowing: int | None
) -> None:
    with two_devices.scope():
        variable = keras.Variable(np.zeros(3), dtype="float32")
        inner = OPTIMIZERS.build(
            "sgd(momentum=0)", groups=[ParameterGroup([variable], 1.0)]
        )
        optimizer = LossScaled(inner, initial_scale=8.0)
        optimizer.build([variable])

    @tf.function
    def step() -> None:
        def on_replica() -> None:
            place = tf.distribute.get_replica_context().replica_id_in_sync_group
            bad = overflowing is not None and place == overflowing
            gradient = tf.where(bad, np.inf, tf.constant([8.0, 16.0, 24.0]))
            optimizer.apply([gradient], [variable])

        two_devices.run(on_replica)

    step()
    skipped = overflowing is not None
    expected = np.zeros(3) if skipped else [-2.0, -4.0, -6.0]
    for copy in two_devices.experimental_local_results(variable.value):
        np.testing.assert_allclose(copy.numpy(), expected)
    assert optimizer.dynamic_scale.numpy() == (4.0 if skipped else 8.0)
    assert optimizer.iterations.numpy() == (0 if skipped else 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_group_that_rested_goes_on_as_if_nothing_had_been(
    two_devices, name: str, mirrored: bool
) -> None:
    strategy = two_devices if mirrored else tf.distribute.get_strategy()
    rng = np.random.default_rng(0)
    start = rng.normal(size=3)
    with strategy.scope():
        resting = keras.Variable(start, dtype="float32")
        other = keras.Variable(start, dtype="float32")
        groups = [
            ParameterGroup([resting], 0.1, 0.1, rests=True),
            ParameterGroup([other], 0.1, 0.1),
        ]
        optimizer = OPTIMIZERS.build(name, groups=groups)
    share = 1 / strategy.num_replicas_in_sync

    @tf.function
    def step(gradient, rests: bool) -> None:
        variables = [other] if rests else [resting, other]

        def on_replica() -> None:
            gradients = [share * tf.identity(gradient)] * len(variables)
            optimizer.apply(gradients, variables)

        strategy.run(on_replica)

    own, all_steps = [], []
    for rests in [True] * 10 + [False] * 3 + [True] * 4 + [False] * 3:
        gradient = rng.normal(size=3)
        step(tf.constant(gradient, tf.float32), rests)
        all_steps.append(gradient)
        if not rests:
            own.append(gradient)
            expected = BY_LOOP[name](start, own, 0.1, 0.1)
            np.testing.assert_allclose(resting.numpy(), expected, rtol=2e-4, atol=1e-5)
    expected = BY_LOOP[name](start, all_steps, 0.1, 0.1)
    np.testing.assert_allclose(other.numpy(), expected, rtol=2e-4, atol=1e-5)


def test_first_step_after_a_rest_has_the_size_of_a_first_step() -> None:
    # Under Adam that is the rate, whatever the gradient.
    resting, other = (keras.Variable(np.zeros(2), dtype="float32") for _ in range(2))
    optimizer = GroupedAdam(
        [ParameterGroup([resting], 0.1, rests=True), ParameterGroup([other], 0.1)]
    )
    for _ in range(50):
        apply(optimizer, [np.ones(2)], [other])
    apply(optimizer, [np.array([3.0, -0.5]), np.ones(2)], [resting, other])
    np.testing.assert_allclose(resting.numpy(), [-0.1, 0.1], rtol=1e-4)
