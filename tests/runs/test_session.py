"""What the settings become, and combinations that cannot work."""

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.datasets import Images
from dce_tf.losses import build_loss
from dce_tf.reports.display import Display
from dce_tf.runs import batches
from dce_tf.runs.network import build_model, has_fixed_features, parameter_groups
from dce_tf.runs.session import build_schedule, check
from dce_tf.training.extractor import FixedFeatures
from dce_tf.training.pipelines import WHOLE, FileReader

SMALL = {"backbone": "small", "image_size": 32, "embedding_dim": 8, "num_clusters": 2}


def groups(loss: str = "margin", **settings):
    config = Config(**{**SMALL, "loss": loss, **settings})
    model = build_model(config)
    built = build_loss(loss, model.space, num_classes=5)
    found = parameter_groups(model, built, config.optimizer, config.division)
    return found, model


def test_each_kind_of_variable_has_its_rate() -> None:
    found, model = groups(
        "margin(learn_beta=class) + proxy_anchor",
        parts="masks",
        pooling="gem",
        isolated_learners=True,
        backbone_lr=1.0,
        embedding_lr=2.0,
        mask_lr=3.0,
        loss_lr=4.0,
        mask_wd=0.5,
    )
    rates = [group.learning_rate for group in found]
    assert rates == [1.0, 2.0, 2.0, 3.0, 4.0, 4.0]
    assert found[3].variables == [model.embedding.masks]
    assert (found[3].num_parts, found[3].axis, found[3].weight_decay) == (2, 0, 0.5)
    assert [len(group.variables) for group in found] == [16, 2, 1, 1, 1, 1]
    assert [group.num_parts for group in found] == [1, 1, 1, 2, 1, 1]


@pytest.mark.parametrize("epochs", [0, 1])
def test_backbone_that_is_frozen_for_some_epochs_counts_its_own_steps(
    epochs: int,
) -> None:
    found, _ = groups(freeze_backbone_epochs=epochs)
    assert [group.rests for group in found] == [epochs > 0, False]


def test_isolated_slices_part_the_kernel_and_the_proxies() -> None:
    found, _ = groups("proxy_anchor", isolated_learners=True)
    assert [group.num_parts for group in found] == [1, 2, 2]
    found, _ = groups("proxy_anchor")
    assert [group.num_parts for group in found] == [1, 1, 1]


def test_frozen_blocks_and_fixed_masks_are_not_trained() -> None:
    found, model = groups(parts="fixed_masks", trainable_blocks=0)
    assert [group.variables for group in found] == [
        [model.embedding.kernel, model.embedding.bias]
    ]


def test_a_growing_division_begins_with_the_whole_embedding() -> None:
    config = Config(**SMALL, parts="fixed_masks", hierarchical=True)
    np.testing.assert_array_equal(build_model(config).embedding.masks[0], np.ones(8))


def test_pipelines_of_fixed_features_are_made_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    class Pipelines:
        def __init__(self, _, features, *__) -> None:
            made.append(features)

        def build(self, *place) -> tuple:
            return place

    monkeypatch.setattr(batches, "FeaturePipelines", Pipelines)
    train = Images(("a", "b"), np.zeros(2, np.int32), ("x",))
    runner = object.__new__(FixedFeatures)
    runner._known = {train.paths: np.zeros((2, 3))}
    config = Config(**SMALL)
    build = batches.batch_builder(
        config,
        build_schedule(config.division),
        train,
        FileReader(),
        runner,
        WHOLE,
        Display(quiet=True),
    )
    assert not made
    assert [build(None, epoch, 0) for epoch in range(3)] == [
        (None, epoch, 0) for epoch in range(3)
    ]
    assert len(made) == 1


@pytest.mark.parametrize(
    ("settings", "fixed"),
    [
        ({}, True),
        ({"trainable_blocks": 1}, False),
        ({"augmentation": "paper"}, False),
        ({"augmentation": "none"}, True),
        ({"pooling": "gem"}, False),
        ({"freeze_batch_norm": False}, False),
    ],
)
def test_features_are_fixed_where_nothing_before_them_changes(
    settings: dict, fixed: bool
) -> None:
    frozen = {"trainable_blocks": 0, "augmentation": "none"}
    config = Config(**{**SMALL, **frozen, **settings})
    assert has_fixed_features(build_model(config), config) == fixed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "margn"}, "Did you mean 'margin'"),
        ({"loss": "proxy_anchor", "miner": "hard"}, "takes no miner"),
        ({"sampler": "grouped(share=2)"}, "0 to 1"),
        ({"augmentation": "papr"}, "Did you mean 'paper'"),
        ({"optimizer": "adammw"}, "Did you mean 'adamw'"),
        ({"lr_schedule": "step"}, "needs its epochs"),
        ({"features_dir": "/tmp"}, "Pass --kmeans_points"),
        (
            {"features_dir": "/tmp", "kmeans_points": 9, "cluster_features": "running"},
            "Use --cluster_features=pass",
        ),
        (
            {"hierarchical": True, "parts": "masks", "num_clusters": 6},
            "nearest is --num_clusters=8",
        ),
    ],
)
def test_check_names_what_cannot_work(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(Config(**{**SMALL, **settings}))
