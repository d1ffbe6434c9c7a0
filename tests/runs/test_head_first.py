"""Runs that train the head before the backbone: on features, and then on images."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.losses import build_loss
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs import train as train_module
from dce_tf.runs.network import build_model, parameter_groups
from dce_tf.runs.session import Session, build_schedule, check
from dce_tf.runs.train import train
from dce_tf.training.extractor import Extractor
from dce_tf.training.schedule import Stage
from tests.runs.test_train import numbers

SMALL = {"backbone": "small", "image_size": 32, "embedding_dim": 8}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head_epochs": 4, "num_epochs": 4}, r"at most --head_epochs=3, or --num_ep"),
        ({"head_epochs": 1, "num_epochs": 1}, "no epoch of --num_epochs=1.*Use --num"),
        ({"head_epochs": 2, "trainable_blocks": 0}, "Leave --head_epochs out"),
        ({"layer_decay": 0.9, "trainable_blocks": 0}, "Leave --layer_decay out"),
        ({"layer_decay": 0.0}, r"Use --layer_decay=0\.5"),
        ({"layer_decay": 1.5}, r"Use --layer_decay=1\.0"),
        (
            {"head_epochs": 2, "features_dir": "/tmp", "kmeans_points": 9},
            "Leave one of the two out",
        ),
        (
            {"head_epochs": 3, "num_epochs": 4, "num_clusters": 2},
            "at most --head_epochs=2, or --full_embedding_epoch=4",
        ),
    ],
)
def test_what_cannot_work_is_told_at_once(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(Config(**{**SMALL, **settings}))


def test_length_that_the_data_decide_is_not_judged_before_it_is_known() -> None:
    config = Config(**SMALL, head_epochs=300, max_steps=4000)
    check(config)
    known = config.replace(num_epochs=250, steps_per_epoch=16)
    with pytest.raises(UsageError, match="at most --head_epochs=249"):
        build_schedule(known.division)


def test_shares_of_stages_are_those_of_the_epochs_after_the_head() -> None:
    config = Config(num_epochs=12, head_epochs=2, stages="divide:0.4, whole:0.6")
    schedule = build_schedule(config.division)
    stages = [schedule.stage(epoch) for epoch in range(12)]
    assert stages == (
        [Stage.HEAD] * 2 + [Stage.DIVIDE] * 4 + [Stage.FULL_EMBEDDING] * 6
    )


def test_what_rests_while_the_head_trains_counts_its_own_steps() -> None:
    def rests(**settings: Any) -> list[bool]:
        config = Config(
            **{**SMALL, "num_clusters": 2, "pooling": "gem", "parts": "masks"},
            **settings,
        )
        model = build_model(config)
        loss = build_loss(config.loss.loss, model.space, 5)
        groups = parameter_groups(model, loss, config.optimizer, config.division)
        return [group.rests for group in groups]

    # Backbone, embedding, pooling, masks.
    assert rests() == [False] * 4
    assert rests(head_epochs=1) == [True, False, True, True]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the backbone ran over, each time that it did."""
    counts, original = [], Extractor._run

    def run(self, function, width, paths, *rest):
        counts.append(len(paths))
        return original(self, function, width, paths, *rest)

    monkeypatch.setattr(Extractor, "_run", run)
    return counts


class Note(keras.callbacks.Callback):
    """Keeps the backbone and the embedding as each epoch leaves them."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone: list[list[np.ndarray]] = []
        self.embedding: list[list[np.ndarray]] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.backbone.append(self.model.backbone.get_weights())
        self.embedding.append(self.model.embedding.get_weights())


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_head_trains_as_with_a_frozen_backbone_and_then_all_does(
    config: Config, sessions: list[Session], passes: list[int]
) -> None:
    plain = {"num_clusters": 1, "full_embedding_epoch": None, "finetune_epoch": None}
    settings = config.replace(
        deterministic=True, export=False, head_epochs=2, num_epochs=3, **plain
    )
    first, alone = Note(), Note()
    train(settings, callbacks=[first])
    (session,) = sessions
    assert same(first.backbone[0], first.backbone[1])
    assert not same(first.backbone[1], first.backbone[2])
    num_train, num_val, num_test = 64, 32, 96
    head = passes[: passes.index(num_train) + 1]
    assert sorted(head) == sorted([num_test, num_val, num_train]), "each split once"
    assert passes[3] == num_val, "the images themselves, once the backbone trains"
    assert session.runner._fixed is None, "and the features are gone"
    frozen = config.replace(
        deterministic=True,
        export=False,
        exp="frozen",
        trainable_blocks=0,
        augmentation="none",
        num_epochs=2,
        **plain,
    )
    train(frozen, callbacks=[alone])
    for epoch in range(2):
        for a, b in zip(first.embedding[epoch], alone.embedding[epoch], strict=True):
            np.testing.assert_array_equal(a, b)
    lines = [RunDirectory.of(each).metrics() for each in (settings, frozen)]
    assert [line["stage"] for line in lines[0]] == [
        "untrained",
        "head",
        "head",
        "finetune",
    ]
    for line, other in zip(lines[0][:3], lines[1], strict=True):
        assert line.get("loss") == other.get("loss")
        assert line["recall@1"] == other["recall@1"]


DIVIDED = {"num_epochs": 4, "full_embedding_epoch": 3, "recluster_every": 1}
FAMILY: dict[str, dict[str, Any]] = {
    "slices": {
        "num_epochs": 3,
        "full_embedding_epoch": 2,
        "finetune_epoch": 2,
        "layer_decay": 0.5,
        "ema": 0.9,
        "cluster_features": "running",
    },
    "masks": {
        **DIVIDED,
        "parts": "masks",
        "freeze_backbone_epochs": 1,
        "freeze_batch_norm": False,
        "isolated_learners": True,
        "pooling": "gem",
        "augment_on": "device",
        "sampler": "neighbours",
        "loss": "multi_similarity + 0.1*proxy_anchor",
        "lr_schedule": "cosine",
        "trainable_blocks": 2,
    },
    "heads": {
        "max_steps": 18,
        "num_epochs": 200,
        "full_embedding_epoch": None,
        "finetune_epoch": None,
        "stages": "divide:0.5, whole:0.5",
        "parts": "heads",
        "head_dim": 24,
        "train": "learner+whole",
        "micro_batch_size": 8,
    },
}


class StopAt(keras.callbacks.Callback):
    """Ends the process's part of the run where a step of it is kept."""

    def __init__(self, epoch: int, step: int) -> None:
        super().__init__()
        self.place, self.epoch = (epoch, step), -1

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if (self.epoch, batch) == self.place:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILY)
def test_killed_run_goes_on_with_the_same_bits_wherever_it_was(
    config: Config, family: str
) -> None:
    settings = config.replace(
        deterministic=True,
        export=False,
        dropout=0.2,
        head_epochs=1,
        checkpoint_every_steps=2,
        **FAMILY[family],
    )
    whole = settings.replace(exp="whole")
    report = train(whole)
    stages = [line["stage"] for line in RunDirectory.of(whole).metrics()]
    assert stages[:3] == ["untrained", "head", "divide"]
    stops: list[keras.callbacks.Callback] = [
        StopAt(0, 2),  # In the head, in the middle of an epoch,
        StopAt(1, 0),  # where the next one has divided and would train all,
        StopAt(1, 2),  # and within that one.
    ]
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            train(settings, callbacks=[stop])
    assert train(settings)["after"] == report["after"]
    assert numbers(RunDirectory.of(settings)) == numbers(RunDirectory.of(whole))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_head_comes_first_in_mixed_precision(config: Config, precision: str) -> None:
    settings = config.replace(head_epochs=1, mixed_precision=precision, export=False)
    report = train(settings)
    assert report["after"]["map@r"] > report["before"]["map@r"]
    stages = [line["stage"] for line in RunDirectory.of(settings).metrics()[1:]]
    assert stages == ["head", "divide", "full_embedding", "finetune"]


@pytest.mark.slow
def test_two_devices_train_the_head_as_one_does(
    config: Config,
    two_devices: tf.distribute.Strategy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = config.replace(
        head_epochs=2,
        num_epochs=3,
        num_clusters=1,
        dropout=0.0,
        optimizer="sgd",
        micro_batch_size=4,
        ema=0.5,
        export=False,
    )
    keras.utils.set_random_seed(0)
    train(settings.replace(exp="one"))
    monkeypatch.setattr(train_module.devices, "make_strategy", lambda: two_devices)
    train(settings)
    one, two = (
        RunDirectory.of(each).metrics()
        for each in (settings.replace(exp="one"), settings)
    )
    assert [line["stage"] for line in two[1:]] == ["head", "head", "full_embedding"]
    for a, b in zip(one[1:], two[1:], strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-2)


@pytest.mark.slow
def test_backbone_file_that_never_trains_is_refused(config: Config, tmp_path) -> None:
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, keras.layers.Conv2D(4, 3)(images))
    model.trainable = False
    model.save(tmp_path / "frozen.keras")
    given = config.replace(backbone=str(tmp_path / "frozen.keras"), head_epochs=1)
    with pytest.raises(UsageError, match=r"no weights that train\. Leave --head_epo"):
        train(given, display=Display(quiet=True))
    assert not RunDirectory.of(given).path.exists()
