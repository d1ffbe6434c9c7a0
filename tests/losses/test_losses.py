"""What every loss must hold to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.errors import UsageError
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.losses import LOSSES, MetricLoss, Space, blocks, build_loss, check_loss
from tests.losses.oracles import ORACLES

LABELS = np.repeat(np.arange(4), 3).astype(np.int32)
SEED = tf.constant([0, 1])
OWN = [name for name in LOSSES if not name.startswith("tfa_")]


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=shape or (12, 6)))


CASES = {
    "random": (drawn(0), LABELS),
    "collapsed": (unit(np.ones((12, 6))), LABELS),
    "duplicates": (unit(np.repeat(np.eye(4, 6), 3, axis=0)), LABELS),
    "one class": (drawn(1), LABELS * 0),
    "no two of a class": (drawn(2, 4, 6), np.arange(4, dtype=np.int32)),
    "one image": (drawn(3, 1, 6), np.zeros(1, np.int32)),
}


def build(name: str, seed: int = 0) -> MetricLoss:
    loss = build_loss(name, Space(units=6, num_classes=4))
    for variable in loss.trainable_variables:
        if len(variable.shape) == 2:
            variable.assign(drawn(seed + 100, *variable.shape))
    return loss


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [*OWN, "cross_batch_memory(start=0)"])
def test_loss_and_gradient_are_finite(name: str, case: str) -> None:
    embedding, labels = (tf.constant(array) for array in CASES[case])
    loss = build(name)
    for _ in range(2):  # The second time, a memory holds the same images.
        with tf.GradientTape() as tape:
            tape.watch(embedding)
            value = loss(embedding, labels, seed=SEED)
        watched = [embedding, *loss.trainable_variables]
        assert value.shape == ()
        assert np.isfinite(value)
        assert value >= 0
        for gradient in tape.gradient(value, watched):
            assert gradient is None or np.all(
                np.isfinite(tf.convert_to_tensor(gradient))
            )


@pytest.mark.parametrize("name", ORACLES)
def test_equals_the_papers_sum_in_plain_loops(name: str) -> None:
    sizes = ([3, 3, 3, 3], [1, 2, 4, 5], [12], [1] * 4)
    for seed, counts in enumerate(sizes):
        labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
        labels = np.random.default_rng(seed).permutation(labels)
        x = drawn(seed, len(labels), 6)
        loss = build(name, seed)
        tables = [v.numpy() for v in loss.trainable_variables]
        proxies = [unit(table.astype(np.float64)) for table in tables]
        expected = ORACLES[name](x.astype(np.float64), labels, *proxies)
        got = float(loss(x, labels, seed=SEED))
        assert got == pytest.approx(expected, rel=2e-4, abs=2e-5), counts


def test_every_loss_of_ours_has_an_oracle() -> None:
    # margin's is in test_margin.py, the memory is tested on its own.
    apart = {"margin", "cross_batch_memory"}
    assert {name.partition("(")[0] for name in ORACLES} | apart == set(OWN)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_computes_in_float32_under_mixed_precision(name: str, dtype: str) -> None:
    rounded = tf.cast(CASES["random"][0], dtype)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    try:
        value = build(name)(rounded, LABELS, seed=SEED)
    finally:
        keras.config.set_dtype_policy(before)
    exact = build(name)(tf.cast(rounded, tf.float32), LABELS, seed=SEED)
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize("name", OWN)
def test_descending_the_gradient_lowers_the_loss(name: str) -> None:
    loss = build(name)
    if name == "cross_batch_memory":
        loss = build("cross_batch_memory(start=100)")  # Its memory would grow.
    elif "miner" in LOSSES.options(name):
        loss = build_loss(name, Space(6, 4), miner="all")
    x = tf.Variable(CASES["random"][0])
    values = []
    for _ in range(20):
        with tf.GradientTape() as tape:
            value = loss(tf.math.l2_normalize(x, axis=1), LABELS, seed=SEED)
        x.assign_sub(0.05 * tape.gradient(value, x))
        values.append(float(value))
    assert values[-1] < values[0]


@pytest.mark.parametrize("name", OWN)
def test_compiles_with_xla_to_the_same_number(name: str) -> None:
    if name == "cross_batch_memory":
        name = "cross_batch_memory(start=100)"  # The memory moves on with each call.
    x = CASES["random"][0]
    loss = build(name)
    compiled = tf.function(lambda: loss(x, LABELS, seed=SEED), jit_compile=True)
    expected = float(loss(x, LABELS, seed=SEED))
    assert float(compiled()) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_miner_of_the_flag_takes_the_place_of_the_losses_own() -> None:
    space = Space(6, 4)
    plain = build_loss("margin(miner=hard)", space)
    assert type(plain.miner).__name__ == "HardPairs"
    both = build_loss("margin(miner=hard) + supcon + proxy_anchor", space, "semi_hard")
    names = [type(getattr(term, "miner", None)).__name__ for term in both.terms]
    assert names == ["SemiHardNegatives", "SemiHardNegatives", "NoneType"]


def test_weighted_sum_adds_its_terms() -> None:
    x = CASES["random"][0]
    total = build("margin(miner=all) + 0.5 * supcon(temperature=0.2)")
    parts = [build("margin(miner=all)"), build("supcon(temperature=0.2)")]
    first, second = (float(part(x, LABELS)) for part in parts)
    assert float(total(x, LABELS)) == pytest.approx(first + 0.5 * second, rel=1e-6)


def test_weighted_sum_trains_the_variables_of_all_terms() -> None:
    loss = build("0.5 * margin(learn_beta=class) + proxy_anchor")
    assert sorted(tuple(v.shape) for v in loss.trainable_variables) == [(4,), (4, 6)]


@pytest.mark.parametrize("parts", ["slices", "fixed_masks"])
def test_proxies_of_a_learner_lie_in_its_part(parts: str) -> None:
    layer = DivideConquerEmbedding(6, 2, parts=parts)
    layer.build((None, 5))
    space = Space(6, 4, 2, layer.learner_units, layer.part)
    loss = build_loss("proxy_anchor", space)
    learner = tf.constant(1)
    x = layer.part(tf.constant(CASES["random"][0]), learner)
    with tf.GradientTape() as tape:
        value = loss(x, LABELS, learner=learner)
    proxies = loss.trainable_variables[0]
    gradient = tape.gradient(value, proxies).numpy()
    assert np.any(gradient[:, 3:])
    assert not np.any(gradient[:, :3]), "the other learner's part moved"
    own = unit(proxies.numpy()[:, 3:])
    inside = x.numpy() if parts == "slices" else x.numpy()[:, 3:]
    expected = ORACLES["proxy_anchor"](inside.astype(float), LABELS, own.astype(float))
    assert float(value) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("spec", "miner", "message"),
    [
        ("margn", None, "margin"),
        ("margin(alfa=1)", None, "alpha"),
        ("margin(learn_beta=two)", None, "none, one or class"),
        ("margin(learn_beta='class') +", None, "margin"),
        ("triplet(kind=soft)", None, "semi_hard"),
        ("angular(angle=90)", None, "0 to 90"),
        ("arcface(margin=2)", None, "1.57"),
        ("soft_triple(num_centers=1)", None, "normalized_softmax"),
        ("recall_at_k(ks=())", None, "from 1 on"),
        ("fastap(num_bins=1)", None, "2 or more"),
        ("supcon(temperature=0)", None, "above 0"),
        ("cross_batch_memory(loss=proxy_anchor)", None, "a loss on pairs"),
        ("proxy_anchor", "nearest", "takes no miner"),
        ("margin", "neerest", "nearest"),
    ],
)
def test_names_what_cannot_be(spec: str, miner: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_loss(spec, miner)


def test_recall_at_k_mixes_within_a_class() -> None:
    from dce_tf.losses.recall_at_k import mix

    x = tf.constant(np.repeat(np.eye(3, 6, dtype=np.float32), [4, 4, 1], axis=0))
    labels = np.repeat(np.arange(3), [4, 4, 1]).astype(np.int32)
    np.testing.assert_allclose(mix(x, labels, SEED), x, atol=1e-6)
    points = drawn(5, 9, 6)
    mixed = mix(tf.constant(points), labels, SEED).numpy()
    assert np.any(np.abs(mixed[:8] - points[:8]) > 0.01, axis=1).all()
    np.testing.assert_allclose(mixed[8], points[8], atol=1e-6)


def test_recall_at_k_with_mixup_equals_the_sum_over_images_and_mixtures() -> None:
    from dce_tf.losses.recall_at_k import mix

    x = tf.constant(CASES["random"][0])
    both = np.concatenate([x, mix(x, LABELS, SEED)]).astype(np.float64)
    expected = ORACLES["recall_at_k"](both, np.tile(LABELS, 2))
    got = float(build("recall_at_k(mixup=True)")(x, LABELS, seed=SEED))
    assert got == pytest.approx(expected, rel=1e-4)


CUBIC = (
    "triplet(kind=all)",
    "triplet(kind=semi_hard, soft=True)",
    "angular",
    "recall_at_k",
)


@pytest.mark.parametrize("name", CUBIC)
def test_blocks_of_anchors_give_the_same_loss_and_gradient(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for limit in (1 << 24, 500):  # All twelve anchors, or three at a time.
        monkeypatch.setattr(blocks, "MOST_NUMBERS", limit)
        loss, x = build(name), tf.Variable(CASES["random"][0])

        @tf.function
        def run(loss=loss, x=x):
            with tf.GradientTape() as tape:
                value = loss(tf.convert_to_tensor(x), LABELS, seed=SEED)
            return value, tape.gradient(value, x)

        results.append(run())
    (one, gradient), (other, again) = results
    assert float(one) == pytest.approx(float(other), rel=1e-6)
    np.testing.assert_allclose(gradient, again, rtol=1e-4, atol=1e-7)
    assert np.any(gradient.numpy())


@pytest.mark.parametrize("name", [*OWN, *CUBIC])
def test_no_tensor_grows_with_the_cube_of_the_batch(name: str) -> None:
    size = 320
    loss = build(name)

    @tf.function
    def run(x, labels):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(x, labels, seed=SEED)
        return tape.gradient(value, x)

    graph = run.get_concrete_function(
        tf.TensorSpec((size, 6)), tf.TensorSpec((size,), tf.int32)
    ).graph
    sizes = [
        tensor.shape.num_elements() or 0
        for operation in graph.get_operations()
        for tensor in operation.outputs
    ]
    for function in graph.as_graph_def(add_shapes=True).library.function:
        for node in function.node_def:
            shapes = node.attr["_output_shapes"].list.shape
            sizes += [tf.TensorShape(shape).num_elements() or 0 for shape in shapes]
    largest = max(sizes)
    assert largest <= blocks.MOST_NUMBERS < size**3
