"""What a student learns from a teacher: held to loops, on any devices, in any parts."""

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import dce_tf
from dce_tf.base.errors import UsageError
from dce_tf.network.distillation import Distillation
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.objective import Objective
from dce_tf.network.step import learner_and_teacher
from tests.slow import rest_is_slow
from tests.training.small import BATCH, SIZE, backbone, fit, make_trainer, weights

WIDTH = 5  # Of the teacher; the student of `small` has 8 numbers.
RNG = np.random.default_rng(0)
TEACHER = RNG.normal(size=(6, 4)).astype(np.float32) * 3
STUDENT = RNG.normal(size=(6, 3)).astype(np.float32)
BOTH = {"weight": 0.7, "embedding_weight": 0.3, "teacher_dim": WIDTH}
QUIETLY: dict[str, Any] = {"verbose": 0, "shuffle": False}


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.stack([vector / math.sqrt(sum(vector**2)) for vector in vectors])


def similarities_by_loop(teacher: np.ndarray, student: np.ndarray, heat: float):
    total = 0.0
    for a in range(len(teacher)):
        others = [b for b in range(len(teacher)) if b != a]
        wanted = [math.exp(teacher[a] @ teacher[b] / heat) for b in others]
        found = [math.exp(student[a] @ student[b] / heat) for b in others]
        for w, f in zip(wanted, found, strict=True):
            total -= w / sum(wanted) * math.log(f / sum(found))
    return total / len(teacher)


def test_similarities_are_those_of_a_plain_loop() -> None:
    found = Distillation(2.0, temperature=0.3).compute(TEACHER, STUDENT)
    expected = similarities_by_loop(unit(TEACHER), unit(STUDENT), 0.3)
    assert float(found) == pytest.approx(2 * expected, rel=1e-5)


def test_embeddings_are_compared_through_a_map() -> None:
    distillation = Distillation(0, embedding_weight=2.0, teacher_dim=4)
    distillation.build(3)
    (matrix,) = distillation.variables
    mapped = unit(STUDENT @ np.array(matrix))
    cosines = [a @ b for a, b in zip(unit(TEACHER), mapped, strict=True)]
    found = float(distillation.compute(TEACHER, STUDENT))
    assert found == pytest.approx(2 * (1 - np.mean(cosines)), rel=1e-5)


def test_embeddings_of_one_width_are_compared_as_they_are() -> None:
    distillation = Distillation(0, embedding_weight=1.0, teacher_dim=4)
    distillation.build(4)
    assert distillation.variables == []
    same = float(distillation.compute(TEACHER, 2 * TEACHER))
    assert same == pytest.approx(0, abs=1e-6)
    assert float(distillation.compute(TEACHER, -TEACHER)) == pytest.approx(2)


def test_a_number_by_hand() -> None:
    # The teacher finds 1 and 2 the same and 3 at a right angle to both; the student
    # finds all three at right angles. At temperature 1 / ln 3 an image of the first two
    # gives its twin 3 / 4 and the third 1 / 4, while the student gives everybody 1 / 2:
    # each of the three rows is ln 2.
    teacher = tf.constant([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    heat = 1 / math.log(3)
    even = Distillation(1.0, heat).compute(teacher, tf.eye(3))
    assert float(even) == pytest.approx(math.log(2), rel=1e-6)
    # The teacher itself: its entropy, which is no less than any student reaches.
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    expected = (2 * entropy + math.log(2)) / 3
    own = Distillation(1.0, heat).compute(teacher, teacher)
    assert float(own) == pytest.approx(expected, rel=1e-6)


def test_no_gradient_reaches_the_teacher() -> None:
    teacher, student = tf.constant(TEACHER), tf.constant(STUDENT)
    with tf.GradientTape() as tape:
        tape.watch([teacher, student])
        loss = Distillation(1.0).compute(teacher, student)
    of_teacher, of_student = tape.gradient(loss, [teacher, student])
    assert of_teacher is None
    assert np.abs(of_student).max() > 0


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"weight": 0.0}, "teaches nothing"),
        ({"weight": -1.0, "embedding_weight": 2.0}, "weights of 0 or more"),
        ({"weight": float("nan")}, "weights of 0 or more"),
        ({"temperature": 0.0}, "expected a number above 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        Distillation(**options)


def test_widths_that_differ_without_a_map_are_refused() -> None:
    with pytest.raises(UsageError, match="teacher_dim=4"):
        Distillation(embedding_weight=1.0).compute(TEACHER, STUDENT)
    Distillation().compute(TEACHER, STUDENT)


def trained(strategy: Any = None, options: Any = None, **more: Any):
    """Trains with a teacher; returns the trainer and its losses."""
    distillation = Distillation(**(options or BOTH))
    more = {"loss": "multi_similarity", "optimizer": "sgd", **more}
    trainer = make_trainer(strategy, distillation=distillation, **more)
    logs = fit(trainer, epochs=3, steps=3, teacher_dim=WIDTH)
    return trainer, [line["loss"] for line in logs]


def assert_same(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one[1], other[1], rtol=1e-4, atol=1e-5)
    for a, b in zip(weights(one[0]), weights(other[0]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


def test_a_teacher_changes_what_is_learned() -> None:
    with_teacher, _ = trained()
    plain = make_trainer(loss="multi_similarity", optimizer="sgd")
    fit(plain, epochs=3, steps=3)
    assert np.abs(weights(with_teacher)[0] - weights(plain)[0]).max() > 1e-4
    # The map is trained, too.
    (matrix,) = with_teacher.loop.step.distillation.variables
    fresh = make_trainer(
        loss="multi_similarity", optimizer="sgd", distillation=Distillation(**BOTH)
    )
    (before,) = fresh.loop.step.distillation.variables
    assert np.abs(np.array(matrix) - np.array(before)).max() > 1e-4


def test_the_whole_embedding_is_taught_while_learners_train() -> None:
    """One step by SGD moves each weight by the sum of the two gradients."""
    moved = []
    for loss, options in (
        ("multi_similarity", BOTH),
        ("multi_similarity", None),
        ("1e-9*multi_similarity", BOTH),
    ):
        more = {"distillation": Distillation(**options)} if options else {}
        trainer = make_trainer(loss=loss, optimizer="sgd", **more)
        mapped = len(trainer.loop.step.distillation.variables) if options else 0
        before = weights(trainer)[: len(weights(trainer)) - mapped]
        fit(trainer, 3, 1, teacher_dim=WIDTH if options else None, callbacks=[Stop()])
        after = weights(trainer)[: len(before)]
        moved.append([b - a for a, b in zip(before, after, strict=True)])
    for value, both, alone, taught in zip(before, *moved, strict=True):
        # The decay of the weights is in all three: rate 1e-2, weight 1e-3.
        expected = alone + taught + 1e-5 * value
        np.testing.assert_allclose(both, expected, rtol=0, atol=1e-6)
    assert max(np.abs(each).max() for each in moved[1]) > 5e-5
    kernel = [each.shape for each in moved[2]].index((8, 8))
    columns = np.abs(moved[2][kernel]).max(axis=0)
    assert columns.min() > 1e-6, "both slices are taught"


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.model.stop_training = True


@pytest.mark.parametrize("micro", rest_is_slow([4, 1]))
def test_gradient_caching_gives_the_same(micro: int) -> None:
    assert_same(trained(), trained(micro_batch_size=micro))


@pytest.mark.parametrize(
    "options",
    rest_is_slow(
        [
            {"parts": "masks", "mask_penalty": 0.1},
            {"objective": Objective("learner+whole", teach=1.0)},
            {"jit": True},
            {"ema": 0.9, "optimizer": "adamw"},
        ],
        quick=0,
    ),
    ids=str,
)
def test_gradient_caching_gives_the_same_in_other_ways(options: dict) -> None:
    assert_same(trained(**options), trained(micro_batch_size=4, **options))


@pytest.mark.slow
@pytest.mark.parametrize("micro", [0, 4])
def test_two_devices_learn_what_one_does(two_devices, micro: int) -> None:
    assert_same(trained(), trained(two_devices, micro_batch_size=micro))


def test_a_step_wants_both_or_neither() -> None:
    trainer = make_trainer(distillation=Distillation())
    with pytest.raises(ValueError, match="data has no embeddings of a teacher"):
        fit(trainer)
    with pytest.raises(ValueError, match="compile was given no distillation"):
        fit(make_trainer(), teacher_dim=WIDTH)


def test_third_part_of_the_data() -> None:
    assert learner_and_teacher(3) == (3, None)
    assert learner_and_teacher({"teacher": 1}) == (None, 1)
    with pytest.raises(ValueError, match="received 'teachers'"):
        learner_and_teacher({"teachers": 1})


def model_of_keras() -> EmbeddingModel:
    keras.utils.set_random_seed(0)
    model = EmbeddingModel(backbone(), DivideConquerEmbedding(8, 2), dropout=0)
    model.build((None, SIZE, SIZE, 3))
    return model


def data(with_teacher: bool = True) -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (2 * BATCH, SIZE, SIZE, 3)).astype(np.float32)
    labels = rng.integers(0, 4, 2 * BATCH)
    teacher = rng.normal(size=(2 * BATCH, WIDTH)).astype(np.float32)
    parts = (images, labels, {"teacher": teacher}) if with_teacher else (images, labels)
    dataset = tf.data.Dataset.from_tensor_slices(parts)
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.batch(BATCH, drop_remainder=True).with_options(options)


def test_fit_takes_it_and_a_saved_model_keeps_it(tmp_path) -> None:
    model = model_of_keras()
    loss = dce_tf.MultiSimilarityLoss()
    model.compile("sgd", loss, [dce_tf.RecallAtK(1)], distillation=BOTH)
    (matrix,) = model.distillation.variables
    before = np.array(matrix)
    model.fit(data(), validation_data=data(with_teacher=False), **QUIETLY)
    assert np.abs(np.array(matrix) - before).max() > 1e-6
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.distillation.get_config() == model.distillation.get_config()
    np.testing.assert_array_equal(*loaded.distillation.variables, matrix)
    for each in (model, loaded):
        each.fit(data(), **QUIETLY)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_fit_on_two_devices_with_a_metric(two_devices) -> None:
    with two_devices.scope():
        model = model_of_keras()
        metrics = [dce_tf.RecallAtK(1)]
        model.compile("sgd", dce_tf.MultiSimilarityLoss(), metrics, distillation=BOTH)
    model.fit(data(), validation_data=data(), **QUIETLY)
    single = model_of_keras()
    single.compile("sgd", dce_tf.MultiSimilarityLoss(), distillation=BOTH)
    single.fit(data(), **QUIETLY)
    for one, other in zip(model.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_any_keras_model_learns_from_a_teacher_alone() -> None:
    keras.utils.set_random_seed(0)
    plain = keras.Sequential(
        [backbone(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(WIDTH)]
    )
    plain.compile("adam", Distillation(embedding_weight=5.0))
    images_and_teacher = data().map(lambda images, _, third: (images, third["teacher"]))
    first = plain.evaluate(images_and_teacher, verbose=0)
    plain.fit(images_and_teacher, epochs=20, **QUIETLY)
    assert plain.evaluate(images_and_teacher, verbose=0) < first
