"""Retrieval metrics in `compile` are those of the whole set, to the last digit."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.evaluation.keras_metrics import MeanAveragePrecisionAtR, RecallAtK
from dce_tf.losses.margin import MarginLoss
from dce_tf.retrieval import evaluate_retrieval
from tests.network.test_fitting import X, Y, embedding_model, ordinary

METRICS = {
    "recall@1": lambda: RecallAtK(1),
    "recall@4": lambda: RecallAtK(4),
    "map@r": MeanAveragePrecisionAtR,
}


def exact(model: keras.Model, images=X, labels=Y) -> dict[str, float]:
    embeddings = model(images).numpy()
    scores = evaluate_retrieval(
        embeddings, labels, embeddings, labels, recall_at=(1, 4), leave_one_out=True
    )
    return {name: scores[name] for name in METRICS}


def compiled(make=embedding_model, **options) -> keras.Model:
    model = make()
    chosen = [make() for make in METRICS.values()]
    model.compile("sgd", loss=MarginLoss(), metrics=chosen, **options)
    return model


@pytest.mark.parametrize("make", [embedding_model, ordinary])
@pytest.mark.parametrize("batch_size", [32, 7, 1])
def test_equals_evaluate_retrieval_whatever_the_batches(make, batch_size: int) -> None:
    model = compiled(make)
    got = model.evaluate(X, Y, batch_size=batch_size, verbose=0, return_dict=True)
    assert {name: got[name] for name in METRICS} == pytest.approx(exact(model))
    assert 0 < got["map@r"] < 1


def test_equals_a_plain_loop() -> None:
    model, hits = compiled(), 0
    embeddings = model(X).numpy().astype(np.float64)
    for q in range(len(X)):
        gaps = np.linalg.norm(embeddings - embeddings[q], axis=1)
        gaps[q] = np.inf
        hits += any(Y[other] == Y[q] for other in np.argsort(gaps)[:4])
    got = model.evaluate(X, Y, batch_size=5, verbose=0, return_dict=True)
    assert got["recall@4"] == pytest.approx(hits / len(X))


@pytest.mark.parametrize("make", [embedding_model, ordinary])
def test_each_epoch_scores_its_validation_set_alone(make) -> None:
    model = compiled(make)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: seen.append((logs, exact(model)))
    )
    options = {"batch_size": 8, "epochs": 3, "verbose": 0, "callbacks": [watch]}
    model.fit(X, Y, validation_data=(X, Y[:, None]), **options)
    for logs, expected in seen:
        got = {name: logs[f"val_{name}"] for name in METRICS}
        assert got == pytest.approx(expected)


def test_two_devices_score_all_images(two_devices) -> None:
    with two_devices.scope():
        model = compiled()
    got = model.evaluate(X, Y, batch_size=6, verbose=0, return_dict=True)
    assert {name: got[name] for name in METRICS} == pytest.approx(exact(model))


def test_a_saved_model_has_its_metrics(tmp_path) -> None:
    model = compiled()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert loaded.evaluate(X, Y, verbose=0, return_dict=True) == expected


def test_large_labels_stay_apart_and_no_images_have_no_score() -> None:
    metric = RecallAtK(1)
    assert np.isnan(metric.result())
    x = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]]
    metric.update_state(2**24 + np.array([0, 1, 0, 1]), x)
    assert float(metric.result()) == 0, "the nearest is of the neighbouring class"
    metric.reset_state()
    metric.update_state(2**24 + np.array([0, 0, 1, 1]), x + [[0, 0], [0, 0.1]] * 2)
    assert float(metric.result()) == 1


def test_wrong_calls_say_so() -> None:
    with pytest.raises(UsageError, match="of 1 or more"):
        RecallAtK(0)
    with pytest.raises(ValueError, match="argmax"):
        RecallAtK(1).update_state(np.eye(32), X)
    with pytest.raises(ValueError, match="sample_weight"):
        RecallAtK(1).update_state(Y, X, np.ones(32))
    with pytest.raises(ValueError, match="labels for 32"):
        RecallAtK(1).update_state(Y[:5], tf.constant(X))
