"""Chooses the settings of a run from what was measured, and says why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from dce_tf.config import Config
from dce_tf.datasets import Images
from dce_tf.quickstart.costs import PRETRAINED, SMALL, Cost, Work
from dce_tf.quickstart.looking import Found, class_sizes
from dce_tf.quickstart.networks import Choice
from dce_tf.retrieval.calibration import FEWEST_CLASSES

PROFILE = "best"

_SIZE = 128  # What the profile was measured with, in pixels.
_SMALL_SIZE = 64
_MULTIPLE = 16
# As many steps as the profile has on the groceries, and the built-in example, which
# begins from random weights, has on its glyphs.
_STEPS, _STEPS_FROM_RANDOM = 136, 700
_FEWEST_PASSES, _MOST_PASSES, _MOST_FROM_RANDOM = 4, 40, 200  # Over all images.
_MOST_EPOCHS = 16  # Each ends with a checkpoint; those of few images are longer.
_LENGTHS = {"num_epochs", "steps_per_epoch", "max_steps"}
_LOOKS = 10  # At the held-out classes, at most this many and a few.
_BATCH = 80
_LEAST_BATCH = 8
_PER_CLASS = 4
_HELD_SHARE, _HELD_LEAST, _HELD_USUAL = 0.25, 20, 0.1
_FEWEST_HELD = 3  # Fewer classes choose the epoch by chance.
_CACHED_FROM = 0.5  # Megapixels.
_FROM_RANDOM: dict[str, Any] = {
    "embedding_dim": 64,
    "backbone_lr": 1e-3,
    "backbone_wd": 0.0,
    "embedding_lr": 1e-3,
    "embedding_wd": 0.0,
}
"""As the built-in example has them (dce_tf/recipes/glyphs.flags)."""


def image_size(found: Found, is_pretrained: bool) -> int:
    """Returns the side of the images for the network, in pixels.

    As measured; less where the images are smaller, as more pixels would show nothing.
    """
    usual, least = (_SIZE, _SMALL_SIZE) if is_pretrained else (_SMALL_SIZE, 32)
    own = -(-found.side // _MULTIPLE) * _MULTIPLE
    return min(usual, max(least, own))


def choose_settings(
    found: Found, network: Choice, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the settings of a run by name, but for those that the profile has.

    Args:
        found: The data.
        network: What to begin with.
        given: The settings that the user gave, by name; they stay.
    """
    train = found.splits.train
    chosen: dict[str, Any] = {
        "dataset": found.dataset,
        "data_dir": found.data_dir,
        "backbone": network.backbone,
        "image_size": image_size(found, network.is_pretrained),
        "batch_size": _batch_size(len(train)),
        **({} if network.is_pretrained else _FROM_RANDOM),
    }
    if found.megapixels >= _CACHED_FROM:
        chosen["cache_images"] = True
    held, validation = _validation(found, given)
    chosen |= validation
    left = len(train) - held
    batch = given.get("batch_size", chosen["batch_size"])
    if not _LENGTHS & set(given):
        chosen |= _length(max(1, left // batch), network.is_pretrained)
    if (epochs := given.get("num_epochs", chosen.get("num_epochs"))) is not None:
        # With none to choose from, the last epoch alone is scored.
        looks = 1 if "select_on" in validation else _LOOKS
        chosen["evaluate_every"] = max(1, epochs // looks)
    return {**chosen, **given}


def _batch_size(num_images: int) -> int:
    half = num_images // 2 // _PER_CLASS * _PER_CLASS
    return min(_BATCH, max(_LEAST_BATCH, half))


def _length(steps: int, is_pretrained: bool) -> dict[str, int]:
    """Returns how long to train, given how many steps one pass over the images has."""
    wanted = _STEPS if is_pretrained else _STEPS_FROM_RANDOM
    most = _MOST_PASSES if is_pretrained else _MOST_FROM_RANDOM
    total = min(most * steps, max(_FEWEST_PASSES * steps, wanted))
    if total <= _MOST_EPOCHS * steps:
        return {"num_epochs": -(-total // steps)}
    return {
        "num_epochs": _MOST_EPOCHS,
        "steps_per_epoch": -(-total // _MOST_EPOCHS),
    }


def _validation(found: Found, given: Collection[str]) -> tuple[int, dict[str, Any]]:
    """Returns about how many images are held out, and the settings for it."""
    train = found.splits.train
    if found.splits.val is not None or {"val_fraction", "select_on"} & set(given):
        return 0, {}
    held, total = held_classes(train), len(train.class_names)
    if held < _FEWEST_HELD:
        return 0, {"val_fraction": 0.0, "select_on": "test"}
    return round(len(train) * held / total), {"val_fraction": round(held / total, 3)}


def held_classes(train: Images) -> int:
    """Returns how many classes to hold out: a quarter, but no more than are needed."""
    pairs = int(np.count_nonzero(class_sizes(train) > 1))
    usual = max(_HELD_LEAST, round(_HELD_USUAL * pairs))
    return min(round(_HELD_SHARE * pairs), usual)


def explain(found: Found, config: Config) -> list[str]:
    """Returns sentences on what the run does with the data, and what it leaves out.

    Args:
        found: The data.
        config: The settings of the run.
    """
    train, held = found.splits.train, num_held(found, config)
    lines = []
    if "test_fraction" in found.dataset:
        lines.append(
            f"{len(train.class_names)} classes to train on, "
            f"{len(found.splits.query.class_names)} to test with, as the search is for "
            "classes that training has not seen."
        )
    if held:
        lines.append(f"{held} classes choose the best epoch.")
    elif config.evaluation.select_on == "test":
        lines.append(
            f"{len(train.class_names)} classes are too few to hold some out: those "
            "would choose the best epoch by chance. So all of them are trained on, the "
            "last epoch is taken, and reports call that chosen on the test."
        )
    steps = steps_per_epoch(found, config)
    lines.append(
        f"--profile={PROFILE}: {config.loss.loss}, {config.division.num_epochs} epochs "
        f"of about {steps} steps, {config.data.image_size} pixels, "
        f"K = {config.division.num_clusters}"
        + (
            " (dividing did not pay in our measurements)."
            if config.division.num_clusters == 1
            else "."
        )
    )
    if (why := why_not_calibrated(found, config)) is not None:
        lines.append(why)
    return lines


def why_not_calibrated(found: Found, config: Config) -> str | None:
    """Says why scores get no probabilities, or None where they may get some."""
    held = num_held(found, config)
    if held >= FEWEST_CLASSES:
        return None
    wanted = round(FEWEST_CLASSES / _HELD_SHARE)
    return (
        "The page shows similarities without probabilities: those are learned on "
        f"{FEWEST_CLASSES} or more classes that were not trained on, of two images or "
        f"more, and here are {held}. With {wanted} classes to train on, that many are "
        "held out."
    )


def num_held(found: Found, config: Config) -> int:
    """Returns how many classes with two images or more choose the epoch."""
    if found.splits.val is not None:
        return int(np.count_nonzero(class_sizes(found.splits.val) > 1))
    if config.evaluation.select_on == "test":
        return 0
    return max(2, round(config.data.val_fraction * len(found.splits.train.class_names)))


def steps_per_epoch(found: Found, config: Config) -> int:
    """Returns about how many steps an epoch has."""
    own = config.division.steps_per_epoch
    return own or max(1, num_trained(found, config) // config.loss.batch_size)


def num_trained(found: Found, config: Config) -> int:
    """Returns about how many images are trained on in an epoch."""
    train = found.splits.train
    if found.splits.val is not None or config.evaluation.select_on == "test":
        return len(train)
    return round(len(train) * (1 - config.data.val_fraction))


def work_of(found: Found, config: Config) -> Work:
    """Returns how much a run has to do, with the embedding of all images after it."""
    splits, epochs = found.splits, config.division.num_epochs
    trained = num_trained(found, config)
    tests = len(splits.query) + (0 if splits.leave_one_out else len(splits.gallery))
    held = len(splits.train) - trained + len(splits.val or ())
    looks = epochs // config.evaluation.evaluate_every + 2
    scored = tests if config.evaluation.select_on == "test" else held
    head = config.division.head_epochs
    if head:  # It trains on features, and is scored with them.
        looks -= head // config.evaluation.evaluate_every
    steps = (epochs - head) * steps_per_epoch(found, config)
    return Work(
        trained=steps * config.loss.batch_size,
        embedded=2 * tests
        + looks * scored
        + found.num_images
        + (trained if head else 0),
        image_size=config.data.image_size,
        megapixels=found.megapixels,
        cached=config.data.cache_images,
        num_images=found.num_images,
    )


def cost_of(config: Config) -> Cost:
    """Returns what was measured of the network, or of one like it."""
    return SMALL if config.network.backbone == "small" else PRETRAINED
