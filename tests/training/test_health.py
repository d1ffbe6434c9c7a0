"""Warnings of training that teaches nothing, and their silence where it does."""

from collections.abc import Sequence

import numpy as np
import pytest

from dce_tf.clustering import Division
from dce_tf.training.health import (
    Health,
    Warned,
    collapsed,
    few_classes,
    few_clusters,
    never_better,
    saturated,
    zero_loss,
)


def lines(
    recalls: Sequence[float],
    losses: Sequence[float] = (),
    distances: Sequence[float] = (),
) -> list[dict]:
    """A history that begins with epoch −1; losses begin with epoch 0."""
    made = [
        {"epoch": e, "evaluated_on": "val", "recall@1": r, "map@r": r / 2}
        for e, r in enumerate(recalls, -1)
    ]
    for line, loss in zip(made[1:], losses, strict=False):
        line["loss"] = loss
    for line, distance in zip(made, distances, strict=False):
        line["mean_distance"] = distance
    return made


NORMAL = lines([0.4, 0.5, 0.6, 0.6], [0.3, 0.2, 0.1], [0.2, 0.6, 0.9, 1.1])


def divided(*clusters: int, of: int) -> Division:
    assignment = np.array(clusters, np.int32)
    return Division(assignment, assignment, of)


def told(history: list[dict], **options) -> list[Warned]:
    """What the callback says, epoch by epoch."""
    seen: list[Warned] = []
    growing = history[:1]
    health = Health(growing, seen.append, **options)
    health.set_params({"epochs": len(history) - 1})
    health.on_train_begin()
    for line in history[1:]:
        health.on_epoch_begin(line["epoch"])
        growing.append(line)
        health.on_epoch_end(line["epoch"], line)
    health.on_train_end()
    return seen


def test_training_that_teaches_is_not_warned_of() -> None:
    whole = divided(0, 0, 1, 1, of=2)
    assert told(NORMAL, division=lambda: whole, num_classes=9) == []


@pytest.mark.parametrize(
    ("history", "kind", "epoch", "flag"),
    [
        (
            lines([0.4, 0.5, 0.5], [0.0, 0.0]),
            "zero_loss",
            0,
            "--miner=distance_weighted",
        ),
        (lines([0.4, 0.5, 0.6], [0.2, 0.0]), "zero_loss", 1, "--num_epochs"),
        (
            lines([0.4, 0.5, 0.6], [0.2, 0.1], [0.4, 0.3, 0.1]),
            "collapsed",
            1,
            "--embedding_lr",
        ),
        (lines([1.0, 1.0, 1.0], [0.2, 0.1]), "saturated", 1, "--val_fraction"),
        (lines([0.6, 0.5, 0.6], [0.2, 0.1]), "never_better", 1, "--backbone_lr"),
    ],
)
def test_each_fault_is_told_once_when_it_shows(
    history: list[dict], kind: str, epoch: int, flag: str
) -> None:
    (warned,) = told(history)
    assert (warned.kind, warned.epoch) == (kind, epoch)
    assert flag in warned.text
    assert told(history, warned=[warned]) == [], "not again when the run goes on"


def test_a_learner_without_a_loss_is_named() -> None:
    history = lines([0.4, 0.5, 0.6], [0.2, 0.1])
    history[2]["learner_losses"] = [0.2, 0.0, None]
    (warned,) = told(history)
    assert "in epoch 2 for learners 1:" in warned.text


@pytest.mark.parametrize(
    "history",
    [
        lines([0.4, 0.5], [1e-9]),
        lines([0.4]),
        [{"epoch": -1}, {"epoch": 0}],
        [{"epoch": -1}, {"epoch": 0, "loss": 0.1, "learner_losses": [0.1, None]}],
    ],
)
def test_a_loss_that_is_small_or_absent_is_not_zero(history: list[dict]) -> None:
    assert zero_loss(history) is None


@pytest.mark.parametrize(
    "distances",
    [
        [],
        [0.3],
        [0.3, 0.2],  # One epoch may bring random weights closer together,
        [0.25, 0.17, 0.2],  # and the next one apart again.
        [0.2, 0.4, 0.3],
        [0.9, 0.6, 0.51],
    ],
)
def test_an_embedding_that_spreads_or_is_spread_has_not_collapsed(
    distances: list[float],
) -> None:
    assert collapsed(lines([0.4] * max(2, len(distances)), (), distances)) is None


@pytest.mark.parametrize("recalls", [[1.0, 1.0], [0.9, 1.0, 1.0], [1.0, 1.0, 0.99]])
def test_a_validation_that_tells_epochs_apart_is_not_saturated(
    recalls: list[float],
) -> None:
    assert saturated(lines(recalls), 5) is None


def test_saturated_validation_says_of_how_many_classes() -> None:
    assert "on val of 5 classes is 1.0000" in (saturated(lines([1.0] * 3), 5) or "")


@pytest.mark.parametrize(
    ("num_classes", "warned"), [(None, False), (1, True), (2, True), (3, False)]
)
def test_two_classes_are_too_few_to_choose_on(
    num_classes: int | None, warned: bool
) -> None:
    assert (few_classes(num_classes) is not None) == warned


def test_better_by_map_alone_is_better() -> None:
    history = lines([0.5, 0.5])
    assert never_better(history) is not None
    history[1]["map@r"] += 0.01
    assert never_better(history) is None
    assert never_better([{"epoch": -1}, *history[1:]]) is None
    assert never_better(lines([1.0, 1.0])) is None, "nothing can be better"


def test_division_with_fewer_clusters_names_those_without_images() -> None:
    assert few_clusters(None) is None
    assert few_clusters(divided(0, 1, 1, 0, of=2)) is None
    assert few_clusters(divided(0, 0, -1, 0, of=1)) is None
    text = few_clusters(divided(0, 0, 2, 2, of=4))
    assert text is not None
    assert "has 2 clusters instead of 4" in text
    assert "learners 1, 3 do not train" in text
    assert "--num_clusters=2" in text
    seen = told(NORMAL, division=lambda: divided(0, 0, of=2))
    assert [(each.kind, each.epoch) for each in seen] == [("few_clusters", 0)]
