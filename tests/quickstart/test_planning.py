"""What is chosen for data of all sizes, and what people are told of it."""

import numpy as np
import pytest

from dce_tf import config as config_module
from dce_tf.commands.running import read_words
from dce_tf.config import Config
from dce_tf.datasets import Images, Search, Splits
from dce_tf.datasets.validation import hold_out_classes
from dce_tf.quickstart.costs import (
    PRETRAINED,
    SMALL,
    Work,
    describe_estimate,
    estimate_seconds,
    round_seconds,
)
from dce_tf.quickstart.looking import Found
from dce_tf.quickstart.networks import Choice
from dce_tf.quickstart.planning import (
    choose_settings,
    cost_of,
    explain,
    held_classes,
    image_size,
    num_held,
    work_of,
)
from dce_tf.quickstart.steps import train_words

TRAINED = Choice("net.keras", True, "")
RANDOM = Choice("small", False, "")


def images(num_classes: int, per_class: int, name: str) -> Images:
    labels = np.repeat(np.arange(num_classes, dtype=np.int32), per_class)
    paths = tuple(f"{name}/{row}.jpg" for row in range(len(labels)))
    return Images(paths, labels, tuple(f"{name}{c}" for c in range(num_classes)))


def data(
    num_classes: int = 40,
    per_class: int = 60,
    *,
    val: int = 0,
    side: int = 300,
    megapixels: float = 0.1,
) -> Found:
    test = images(max(2, num_classes // 4), per_class, "test")
    splits = Splits(
        images(num_classes, per_class, "train"),
        images(val, per_class, "val") if val else None,
        (Search("test", test, test),),
    )
    return Found("DIR", "folder(test_fraction=0.2)", splits, side, megapixels)


def settled(found: Found, network: Choice = TRAINED, **given: object) -> Config:
    """Returns the settings that `train` has with the words that are printed."""
    words = train_words(choose_settings(found, network, given))
    values, arguments = read_words("train", words)
    assert arguments == []
    return config_module.from_flags(values)


def test_data_like_those_measured_train_as_measured() -> None:
    config = settled(data(41, 66))
    assert config.loss.loss == "multi_similarity"
    assert config.division.num_clusters == 1
    assert config.loss.batch_size == 80
    assert config.data.image_size == 128
    assert config.optimizer.backbone_lr == config.optimizer.embedding_lr == 1e-4
    assert config.division.num_epochs == 6  # Of 25 steps, as classes are held out.
    assert config.division.steps_per_epoch is None
    assert not config.data.cache_images


def test_random_weights_train_as_the_built_in_example_does() -> None:
    config = settled(data(622, 12), RANDOM)
    assert config.network.backbone == "small"
    assert config.optimizer.backbone_lr == config.optimizer.embedding_lr == 1e-3
    assert config.optimizer.backbone_wd == 0
    assert config.data.image_size == 64
    assert config.division.num_epochs == 9
    assert cost_of(config) is SMALL


@pytest.mark.parametrize("per_class", [2, 20, 60, 1000])
@pytest.mark.parametrize("network", [TRAINED, RANDOM])
def test_epochs_are_few_and_long_enough(per_class: int, network: Choice) -> None:
    found = data(10, per_class)
    config = settled(found, network)
    work = work_of(found, config)
    steps = work.trained // config.loss.batch_size
    assert 4 <= config.division.num_epochs <= 16
    assert steps >= min(136, 40 * max(1, 10 * per_class // 2 // 80))
    assert config.evaluation.evaluate_every <= config.division.num_epochs


def test_few_images_make_small_batches() -> None:
    assert settled(data(4, 6)).loss.batch_size == 12
    assert settled(data(4, 2)).loss.batch_size == 8


@pytest.mark.parametrize(
    ("num_classes", "held"), [(4, 0), (9, 0), (12, 3), (40, 10), (80, 20), (1000, 100)]
)
def test_as_many_classes_are_held_out_as_choose_and_calibrate(
    num_classes: int, held: int
) -> None:
    found = data(num_classes, 4)
    config = settled(found)
    assert num_held(found, config) == held
    told = " ".join(explain(found, config))
    if held:
        _, val = hold_out_classes(found.splits.train, config.data.val_fraction, 0)
        assert len(val.class_names) == held == held_classes(found.splits.train)
        assert f"{held} classes choose the best epoch." in told
    else:
        assert config.evaluation.select_on == "test"
        assert config.evaluation.evaluate_every == config.division.num_epochs
        assert "too few to hold some out" in told
    assert ("without probabilities" in told) is (held < 10)


def test_a_validation_split_of_the_data_is_used() -> None:
    found = data(20, 4, val=12)
    config = settled(found)
    assert config.evaluation.select_on == "val"
    told = " ".join(explain(found, config))
    assert "12 classes choose the best epoch." in told
    assert "without probabilities" not in told


def test_what_the_user_gave_stays() -> None:
    given = {"num_epochs": 3, "batch_size": 8, "image_size": 96, "loss": "margin"}
    config = settled(data(10, 20), val_fraction=0.5, num_clusters=2, **given)
    assert {name: config.as_dict()[name] for name in given} == given
    assert config.data.val_fraction == 0.5
    assert config.evaluation.select_on == "val"
    assert config.evaluation.evaluate_every == 1
    assert config.division.steps_per_epoch is None
    assert "K = 2." in " ".join(explain(data(10, 20), config))
    config = settled(data(10, 20), max_steps=7, export=False, deterministic=True)
    assert config.division.max_steps == 7
    assert config.run.deterministic
    assert not config.run.export


@pytest.mark.parametrize(
    ("side", "pretrained", "expected"),
    [
        (28, False, 32),
        (40, False, 48),
        (900, False, 64),
        (28, True, 64),
        (99, True, 112),
    ],
)
def test_no_more_pixels_than_there_are(
    side: int, pretrained: bool, expected: int
) -> None:
    assert image_size(data(side=side), pretrained) == expected


def test_large_photographs_are_decoded_once() -> None:
    assert settled(data(megapixels=12)).data.cache_images


def test_estimate_is_near_what_whole_runs_took() -> None:
    # GROCERY: 95.6 s in docs/performance.md, with K = 4.
    work = Work(4 * 34 * 80, 2 * 2800 + 2800, 128, 0.03, False, 5421)
    assert 90 < estimate_seconds(work, PRETRAINED, 2) < 150
    # Glyphs, K = 1: 112 to 129 s.
    work = Work(8 * 83 * 80, 2 * 7464 + 9 * 746, 48, 0.003, False, 14_928)
    assert 90 < estimate_seconds(work, SMALL, 2) < 150
    assert estimate_seconds(work, SMALL, 16) < estimate_seconds(work, SMALL, 2) / 2


def test_the_head_trains_on_features_that_are_computed_once() -> None:
    found = data()
    given = {"num_epochs": 4, "evaluate_every": 1, "steps_per_epoch": 10}
    whole = work_of(found, settled(found, **given))
    headed = work_of(found, settled(found, head_epochs=2, **given))
    assert headed.trained == whole.trained // 2
    config = settled(found, **given)
    held = len(found.splits.train) * config.data.val_fraction
    trained = len(found.splits.train) - held
    assert headed.embedded - whole.embedded == pytest.approx(trained - 2 * held, abs=1)


def test_estimate_says_that_it_is_one() -> None:
    text = describe_estimate(100, PRETRAINED, has_gpu=False)
    assert text == (
        "About 2 min and 3.5 GB of memory: a rough estimate, from what was measured "
        "with EfficientNet-Lite0 on 2 processor cores."
    )
    assert "With the GPU here" in describe_estimate(100, SMALL, has_gpu=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "10 s"), (41, "50 s"), (95, "2 min"), (5000, "84 min"), (9000, "2 h 30 min")],
)
def test_durations_are_rounded_up(seconds: float, text: str) -> None:
    assert round_seconds(seconds) == text
