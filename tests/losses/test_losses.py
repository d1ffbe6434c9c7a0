"""What every loss must hold to."""

import importlib.util
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import LOSSES, MetricLoss, Space, blocks, build_loss, check_loss
from dce_tf.losses.arcface import ArcFaceLoss
from dce_tf.losses.margin import MarginLoss
from dce_tf.losses.proxies import ProxyLoss
from dce_tf.miners import MINERS
from dce_tf.network.layers import DivideConquerEmbedding
from tests.losses.oracles import CLASS_COUNTS, ORACLES

# Of no order, as a shuffled data set gives them.
LABELS = np.array([2, 0, 3, 1, 0, 2, 1, 3, 3, 0, 1, 2], np.int32)
SEED = tf.constant([0, 1])
ADDONS = importlib.util.find_spec("tensorflow_addons") is not None
OWN = [name for name in LOSSES if not name.startswith("tfa_")]
EVERY = list(LOSSES) if ADDONS else OWN


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def drawn(seed: int, *shape: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=shape or (12, 6)))


PROXIED = [name for name in OWN if issubclass(LOSSES.factory(name), ProxyLoss)]
CASES = {
    "random": (drawn(0), LABELS),
    "collapsed": (unit(np.ones((12, 6))), LABELS),
    "duplicates": (unit(np.eye(4, 6)[LABELS]), LABELS),
    "two of everything": (drawn(4, 8, 6), np.array([1, 3, 0, 2, 3, 1, 2, 0])),
    "duplicates of other classes": (np.tile(drawn(5, 6, 6), (2, 1)), LABELS),
    "sorted": (drawn(0), np.sort(LABELS)),
    "one class": (drawn(1), LABELS * 0),
    "no two of a class": (drawn(2, 4, 6), np.arange(4, dtype=np.int32)),
    "one image": (drawn(3, 1, 6), np.zeros(1, np.int32)),
}


def build(name: str, seed: int = 0) -> MetricLoss:
    counts = np.array(CLASS_COUNTS)
    loss = build_loss(name, Space(units=6), num_classes=4, class_counts=counts)
    for variable in loss.trainable_variables:
        if len(variable.shape) == 2:
            variable.assign(drawn(seed + 100, *variable.shape))
    return loss


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [*EVERY, "cross_batch_memory(start=0)"])
def test_loss_and_gradient_are_finite(name: str, case: str) -> None:
    embedding, labels = (tf.constant(array) for array in CASES[case])
    loss = build(name)
    for _ in range(2):  # The second time, a memory holds the same images.
        with tf.GradientTape() as tape:
            tape.watch(embedding)
            value = loss.compute(labels, embedding, seed=SEED)
        watched = [embedding, *loss.trainable_variables]
        assert value.shape == ()
        assert np.isfinite(value)
        assert value >= 0
        for gradient in tape.gradient(value, watched):
            assert gradient is None or np.all(
                np.isfinite(tf.convert_to_tensor(gradient))
            )


@pytest.mark.parametrize("name", [name for name in EVERY if name not in PROXIED])
def test_a_single_image_costs_nothing(name: str) -> None:
    embedding, labels = CASES["one image"]
    # The regulariser of the signal-to-noise ratio is on single embeddings.
    alone = 0.1 * abs(float(embedding.sum())) if name == "snr" else 0.0
    value = build(name).compute(labels, embedding, seed=SEED)
    assert float(value) == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_the_order_of_a_batch_does_not_matter(name: str) -> None:
    x, labels = CASES["two of everything"]
    miner = "all" if "miner" in LOSSES.options(name) else None

    def value(order: np.ndarray) -> float:
        loss = build_loss(name, Space(6), 4, miner)
        for variable in loss.trainable_variables:
            variable.assign(drawn(100, *variable.shape))
        return float(loss.compute(labels[order], x[order], seed=SEED))

    by_class = np.argsort(labels, kind="stable")
    orders = [by_class, np.arange(8), by_class.reshape(4, 2)[[2, 0, 3, 1]].ravel()]
    first, *others = (value(order) for order in orders)
    assert others == pytest.approx([first] * 2, rel=1e-4, abs=1e-6)


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
        got = float(loss.compute(labels, x, seed=SEED))
        assert got == pytest.approx(expected, rel=2e-4, abs=2e-5), counts


LABEL_FORMS = {
    "column": lambda labels: labels[:, None],
    "uint8": lambda labels: labels.astype(np.uint8),
    "int64": lambda labels: labels.astype(np.int64),
    "uint64": lambda labels: labels.astype(np.uint64),
    "float32": lambda labels: labels.astype(np.float32),
    "float16 column": lambda labels: labels.astype(np.float16)[:, None],
    "tensor": lambda labels: tf.constant(labels, tf.int16),
    "list": lambda labels: labels.tolist(),
}


@pytest.mark.parametrize("name", EVERY)
def test_labels_of_any_form_give_the_same_loss(name: str) -> None:
    x = CASES["random"][0]
    expected = float(build(name).compute(LABELS, x, seed=SEED))
    for form, change in LABEL_FORMS.items():
        got = float(build(name).compute(change(LABELS), x, seed=SEED))
        assert got == expected, form


@pytest.mark.parametrize("name", [name for name in EVERY if name not in PROXIED])
@pytest.mark.parametrize("high", [2**24, 2**32, 2**53])
def test_neighbouring_large_labels_are_two_classes(name: str, high: int) -> None:
    x = CASES["random"][0]
    # In float32 or int32 all four would be one or two.
    large = np.int64(high) + LABELS.astype(np.int64)
    expected = float(build(name).compute(LABELS, x, seed=SEED))
    assert float(build(name).compute(large, x, seed=SEED)) == expected


@pytest.mark.parametrize("name", PROXIED)
def test_labels_beyond_the_classes_are_refused(name: str) -> None:
    loss, x = build(name), CASES["random"][0]
    for wrong in (LABELS + 1, LABELS - 1):
        with pytest.raises(ValueError, match=r"0 to 3.*num_classes"):
            loss.compute(wrong, x)
        with pytest.raises(tf.errors.InvalidArgumentError, match="num_classes"):
            tf.function(lambda y: loss.compute(y, x))(tf.constant(wrong))
        compiled = tf.function(lambda y: loss.compute(y, x), jit_compile=True)
        assert np.isnan(compiled(tf.constant(wrong)))


@pytest.mark.parametrize("name", EVERY)
def test_what_is_no_batch_of_unit_vectors_is_refused(name: str) -> None:
    loss, x = build(name), CASES["random"][0]
    with pytest.raises(ValueError, match=r"one-hot.*argmax"):
        loss.compute(np.eye(4)[LABELS], x)
    with pytest.raises(ValueError, match="11 labels for 12 embeddings"):
        loss.compute(LABELS[1:], x)
    with pytest.raises(ValueError, match=r"unit length.*UnitNormalization"):
        loss.compute(LABELS, 3 * x)
    with pytest.raises(ValueError, match="labels first"):
        loss.compute(x, LABELS)
    with pytest.raises(ValueError, match="pooling"):
        loss.compute(LABELS, x[:, None])
    with pytest.raises(ValueError, match="sample_weight"):
        loss(LABELS, x, np.ones(12))


@pytest.mark.parametrize("name", EVERY)
def test_config_builds_the_same_loss(name: str) -> None:
    loss = build(name)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    again.build(Space(6))
    for variable, value in zip(again.variables, loss.variables, strict=True):
        variable.assign(value)
    x = CASES["random"][0]
    expected = float(loss.compute(LABELS, x, seed=SEED))
    assert float(again.compute(LABELS, x, seed=SEED)) == expected


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("margin(alpha=0.1, miner='nearest(cutoff=0.7)')", {"alpha": 0.1}),
        ("angular(angle=30)", {"angle": 30}),
        ("recall_at_k(ks=(1, 3))", {"ks": [1, 3]}),
        ("triplet(kind=hard)", {"kind": "hard"}),
    ],
)
def test_config_keeps_options_and_the_miners(spec: str, options: dict) -> None:
    config = json.loads(json.dumps(build(spec).get_config()))
    assert options.items() <= config.items()
    if "cutoff" in spec:
        assert config["miner"] == "nearest(cutoff=0.7)"


def test_a_miner_that_is_not_registered_cannot_be_saved() -> None:
    loss = MarginLoss(miner=lambda *given: MINERS.build("all")(*given))
    assert float(loss(LABELS, CASES["random"][0])) > 0
    with pytest.raises(ValueError, match=r"@MINERS.register"):
        loss.get_config()


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
        value = build(name).compute(LABELS, rounded, seed=SEED)
    finally:
        keras.config.set_dtype_policy(before)
    exact = build(name).compute(LABELS, tf.cast(rounded, tf.float32), seed=SEED)
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize("name", OWN)
def test_descending_the_gradient_lowers_the_loss(name: str) -> None:
    loss = build(name)
    if name == "cross_batch_memory":
        loss = build("cross_batch_memory(start=100)")  # Its memory would grow.
    elif "miner" in LOSSES.options(name):
        loss = build_loss(name, Space(6), 4, miner="all")
    x = tf.Variable(CASES["random"][0])
    values = []
    for _ in range(20):
        with tf.GradientTape() as tape:
            embedding = tf.math.l2_normalize(x, axis=1)
            value = loss.compute(LABELS, embedding, seed=SEED)
        x.assign_sub(0.05 * tape.gradient(value, x))
        values.append(float(value))
    assert values[-1] < values[0]


@pytest.mark.parametrize("name", OWN)
def test_compiles_with_xla_to_the_same_number(name: str) -> None:
    if name == "cross_batch_memory":
        name = "cross_batch_memory(start=100)"  # The memory moves on with each call.
    x = CASES["random"][0]
    loss = build(name)
    compiled = tf.function(lambda: loss.compute(LABELS, x, seed=SEED), jit_compile=True)
    expected = float(loss.compute(LABELS, x, seed=SEED))
    assert float(compiled()) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_miner_of_the_flag_takes_the_place_of_the_losses_own() -> None:
    space = Space(6)
    plain = build_loss("margin(miner=hard)", space, 4)
    assert type(plain.miner).__name__ == "HardPairs"
    both = build_loss(
        "margin(miner=hard) + supcon + proxy_anchor", space, 4, "semi_hard"
    )
    names = [type(getattr(term, "miner", None)).__name__ for term in both.terms]
    assert names == ["SemiHardNegatives", "SemiHardNegatives", "NoneType"]


def test_weighted_sum_adds_its_terms() -> None:
    x = CASES["random"][0]
    total = build("margin(miner=all) + 0.5 * supcon(temperature=0.2)")
    parts = [build("margin(miner=all)"), build("supcon(temperature=0.2)")]
    first, second = (float(part(LABELS, x)) for part in parts)
    assert float(total(LABELS, x)) == pytest.approx(first + 0.5 * second, rel=1e-6)


def test_weighted_sum_trains_the_variables_of_all_terms() -> None:
    loss = build("0.5 * margin(learn_beta=class) + proxy_anchor")
    assert sorted(tuple(v.shape) for v in loss.trainable_variables) == [(4,), (4, 6)]


@pytest.mark.parametrize("parts", ["slices", "fixed_masks"])
def test_proxies_of_a_learner_lie_in_its_part(parts: str) -> None:
    layer = DivideConquerEmbedding(6, 2, parts=parts)
    layer.build((None, 5))
    loss = build_loss("proxy_anchor", Space.of(layer), 4)
    learner = tf.constant(1)
    x = layer.part(tf.constant(CASES["random"][0]), learner)
    with tf.GradientTape() as tape:
        value = loss.compute(LABELS, x, learner=learner)
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
        ("arcface(margin=1, rare_margin=1)", None, "together 0 to 1.57"),
        ("arcface(rare_margin=0.5, rarity=0)", None, "rarity=0"),
        ("tcm(positive_margin=0.4)", None, "the positive one above"),
        ("soft_triple(num_centers=1)", None, "normalized_softmax"),
        ("arcface(num_centers=0)", None, r"arcface\(num_centers=0\): expected 1"),
        ("cosface(smoothing=1)", None, "0 to below 1"),
        ("arcface(num_centres=3)", None, "num_centers"),
        ("recall_at_k(ks=())", None, "of 1 or more"),
        ("recall_at_k(form=theirs)", None, "paper, program"),
        ("recall_at_k(k_temperature=(1, 2))", None, "one for each of ks"),
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


@pytest.mark.parametrize("counts", [None, (3, 3)])
def test_margins_of_rare_classes_need_their_sizes(counts: tuple | None) -> None:
    with pytest.raises(UsageError, match="images of each of the 4 classes"):
        ArcFaceLoss(num_classes=4, rare_margin=0.4, class_counts=counts)


def test_a_class_that_lost_all_its_images_has_a_margin() -> None:
    loss = ArcFaceLoss(4, 0.1, rare_margin=0.4, class_counts=np.array([0, 1, 16, 81]))
    assert loss.margins == pytest.approx([0.5, 0.5, 0.3, 0.1 + 0.4 / 3])
    again = ArcFaceLoss.from_config(json.loads(json.dumps(loss.get_config())))
    assert again.margins.tolist() == loss.margins.tolist()


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
    got = float(build("recall_at_k(mixup=True)").compute(LABELS, x, seed=SEED))
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
                value = loss.compute(LABELS, tf.convert_to_tensor(x), seed=SEED)
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
            value = loss.compute(labels, x, seed=SEED)
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
