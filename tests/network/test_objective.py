"""What a step minimises, held to plain loops."""

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.config import DivisionSettings, LossSettings
from dce_tf.losses import Space, build_loss
from dce_tf.network.layers import PARTS, DivideConquerEmbedding
from dce_tf.network.objective import TRAINS, Objective, correlation

LABELS = np.array([3, 0, 3, 1, 0, 1, 2, 2], np.int32)
FEATURES = np.random.default_rng(0).normal(size=(8, 10)).astype(np.float32)
SEED = tf.constant([0, 0])


def make(parts: str = "slices", **options: Any) -> DivideConquerEmbedding:
    keras.utils.set_random_seed(0)
    layer = DivideConquerEmbedding(6, 3, parts, **options)
    layer.build((None, 10))
    return layer


def objective_of(layer: Any, objective: Objective, learner: int | None, **more: Any):
    loss = build_loss("contrastive", None, num_classes=4)
    learner = None if learner is None else tf.constant(learner)
    raw = layer.project(FEATURES)
    return objective(loss, layer, raw, LABELS, learner=learner, seed=SEED, **more)


def loss_of(embedding: Any) -> float:
    loss = build_loss("contrastive", None, num_classes=4)
    return float(loss.compute(LABELS, embedding, seed=SEED))


@pytest.mark.parametrize(
    ("parts", "options"), [("slices", {}), ("masks", {}), ("heads", {"head_units": 5})]
)
def test_learner_and_whole_are_added(parts: str, options: dict[str, Any]) -> None:
    layer = make(parts, **options)
    both = Objective(train="learner+whole", whole_weight=0.3)
    part = loss_of(layer(FEATURES, learner=tf.constant(2)))
    whole = loss_of(layer(FEATURES))
    assert part > 0
    assert float(objective_of(layer, both, 2)) == pytest.approx(part + 0.3 * whole)
    assert float(objective_of(layer, Objective(), 2)) == pytest.approx(part)
    for objective in (both, Objective()):
        assert float(objective_of(layer, objective, None)) == pytest.approx(whole)


def taught_by_loop(teacher: np.ndarray, student: np.ndarray, heat: float) -> float:
    total = 0.0
    for a in range(len(teacher)):
        others = [b for b in range(len(teacher)) if b != a]
        wanted = np.exp([teacher[a] @ teacher[b] / heat for b in others])
        found = np.exp([student[a] @ student[b] / heat for b in others])
        total -= np.sum(wanted / wanted.sum() * np.log(found / found.sum()))
    return total / len(teacher)


def test_whole_learns_the_similarities_of_the_learner() -> None:
    layer = make("heads", head_units=5)
    settings = {"train": "learner+whole", "teach_temperature": 0.2}
    plain = float(objective_of(layer, Objective(**settings), 1))
    taught = float(objective_of(layer, Objective(**settings, teach=2.0), 1))
    part = layer(FEATURES, learner=tf.constant(1)).numpy()
    expected = taught_by_loop(part, layer(FEATURES).numpy(), 0.2)
    assert taught - plain == pytest.approx(2 * expected, rel=1e-4)


def test_student_does_not_move_its_teacher() -> None:
    layer = make("heads", head_units=5)
    both = {"train": "learner+whole", "whole_weight": 0.0}
    gradients = []
    for teach in (0.0, 3.0):
        with tf.GradientTape() as tape:
            total = objective_of(layer, Objective(**both, teach=teach), 1)
        gradients.append(tape.gradient(total, [layer.head_kernel, layer.kernel]))
    np.testing.assert_array_equal(gradients[0][0], gradients[1][0])
    assert np.any(gradients[0][1].numpy() != gradients[1][1].numpy())


def test_images_count_for_learners_as_they_are_near() -> None:
    layer = make()
    nearness = np.zeros((8, 3), np.float32)
    nearness[:4, 0] = nearness[4:, 2] = 1
    raw = tf.constant(layer.project(FEATURES))
    loss = build_loss("contrastive", None, num_classes=4)
    with tf.GradientTape() as tape:
        tape.watch(raw)
        total = Objective(train="all")(
            loss,
            layer,
            raw,
            LABELS,
            learner=tf.constant(0),
            nearness=tf.constant(nearness),
            seed=SEED,
        )
    parts = [layer(FEATURES, learner=tf.constant(each)) for each in range(3)]
    assert float(total) == pytest.approx(sum(map(loss_of, parts)), rel=1e-5)
    gradient = tape.gradient(total, raw).numpy()
    moved = np.abs(gradient.reshape(8, 3, 2)).sum(axis=2) > 0
    np.testing.assert_array_equal(moved, nearness > 0)


def test_correlation_equals_numpy() -> None:
    rng = np.random.default_rng(1)
    parts = [rng.normal(size=(20, 3)).astype(np.float32) for _ in range(3)]
    found = [
        np.corrcoef(parts[i][:, a], parts[j][:, b])[0, 1] ** 2
        for i in range(3)
        for j in range(i + 1, 3)
        for a in range(3)
        for b in range(3)
    ]
    assert float(correlation(parts)) == pytest.approx(np.mean(found), rel=1e-4)
    assert float(correlation(parts[:1])) == 0


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"train": "both"}, "expected one of learner"),
        ({"teach": 1.0}, "train='learner\\+whole'"),
        ({"train": "all", "teach": 1.0}, "train='learner\\+whole'"),
        ({"train": "learner+whole", "decorrelation": 1.0}, "train='all\\+whole'"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy):
        Objective(**settings)


@pytest.mark.parametrize("parts", PARTS)
def test_proxies_train_in_every_part(parts: str) -> None:
    layer = make(parts, head_units=5 if parts == "heads" else 0)
    loss = build_loss("proxy_anchor", Space.of(layer), num_classes=4)
    both = Objective(train="learner+whole", teach=1.0)
    with tf.GradientTape() as tape:
        raw = layer.project(FEATURES)
        total = both(loss, layer, raw, LABELS, learner=tf.constant(1), seed=SEED)
    (gradient,) = tape.gradient(total, loss.trainable_variables)
    assert np.isfinite(float(total))
    moved = np.flatnonzero(np.abs(gradient.numpy()).sum(axis=0))
    # The whole, and of heads the second one; no other learner's.
    others = range(11, 16) if parts == "heads" else ()
    assert moved.tolist() == [*range(6), *others]


def test_flags_offer_what_there_is() -> None:
    for settings, name, known in (
        (LossSettings, "train", TRAINS),
        (DivisionSettings, "parts", PARTS),
    ):
        (field,) = [each for each in dataclasses.fields(settings) if each.name == name]
        assert set(field.metadata["choices"]) == set(known)
