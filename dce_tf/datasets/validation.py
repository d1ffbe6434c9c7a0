"""Holding out training classes, so that the test chooses nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.datasets.splits import Images, Splits, concatenate


def hold_out_classes(
    train: Images, fraction: float, seed: int
) -> tuple[Images, Images]:
    """Cuts training images into two parts that share no class.

    Args:
        train: The training images.
        fraction: Share of the classes to hold out, in (0, 1); at least two classes
            are, those with two images first, as a lone image has no match to find.
        seed: The same seed holds out the same classes.

    Returns:
        What is left to train on, and what is held out, classes renumbered.

    Raises:
        UsageError: If `fraction` is not in (0, 1), or less than two classes, or none
            with two images, would be left on either side.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"--val_fraction received {fraction}; expected a share in (0, 1). Correct "
            "it, or pass --val_fraction=0 to hold nothing out."
        )
    classes, sizes = _shuffled_classes(train, seed)
    num_held = max(2, round(fraction * len(classes)))
    held, left = classes[:num_held], classes[num_held:]
    # Classes of two images go first, so if one is left, one is held out.
    if len(left) < 2 or sizes[left].max() < 2:
        raise UsageError(
            f"--val_fraction={fraction} holds out {len(held)} of {len(classes)} train "
            f"classes, {np.count_nonzero(sizes > 1)} of which have two images; "
            "expected two classes, one of them with two images, on either side. Choose "
            "another fraction, or pass --val_fraction=0 to hold nothing out."
        )
    return _part(train, held)


def hold_out_fold(
    train: Images, num_folds: int, fold: int, seed: int
) -> tuple[Images, Images]:
    """Cuts the classes into folds, and training images into all folds but one and it.

    Args:
        train: The training images.
        num_folds: Number of folds, at least 2; their numbers of classes differ by at
            most one, and each class is in one of them.
        fold: Which one to hold out, from 0.
        seed: The same seed cuts the same folds.

    Returns:
        As `hold_out_classes`.

    Raises:
        UsageError: If there are too few classes for each fold to have two, one of them
            with two images.
    """
    classes, sizes = _shuffled_classes(train, seed)
    num_pairs = int(np.count_nonzero(sizes > 1))
    most = min(len(classes) // 2, num_pairs)
    if num_folds > most:
        remedy = f"Use at most {most}" if most > 1 else "Use --val_fraction"
        raise UsageError(
            f"--num_folds={num_folds} is too many for {len(classes)} train classes, "
            f"{num_pairs} of which have two images; a fold needs two classes, one of "
            f"them with two images. {remedy}."
        )
    return _part(train, classes[fold::num_folds])


def hold_out_by_source(
    splits: Splits, hold_out: Callable[[Images], tuple[Images, Images]]
) -> tuple[Images, Images]:
    """Cuts the training images of each source of a mix, as if it were alone.

    A source that has validation images of its own keeps them, and all its classes.

    Args:
        splits: The mix.
        hold_out: Cuts the training images of one source in two; see
            `hold_out_classes`.

    Returns:
        As `hold_out_classes`, of all sources together.

    Raises:
        UsageError: If a source cannot be cut; it is named.
    """
    left: list[Images] = []
    held = [] if splits.val is None else [splits.val]
    own = set() if splits.val is None else splits.val.numbers_of_sources()
    for number, name in enumerate(splits.sources):
        part = splits.train.of_source(number)
        if number in own or not len(part):
            left.append(part.select(np.arange(len(part))))
            continue
        try:
            train, val = hold_out(part.select(np.arange(len(part))))
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
        left.append(train)
        held.append(val)
    return concatenate(left), concatenate(held)


def _shuffled_classes(
    train: Images, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Returns the classes there are, those with two images first, and all sizes."""
    sizes = train.class_counts
    classes = np.random.default_rng(seed).permutation(np.flatnonzero(sizes))
    in_order = [classes[sizes[classes] > 1], classes[sizes[classes] == 1]]
    return np.concatenate(in_order), sizes


def _part(train: Images, held: npt.NDArray[np.int64]) -> tuple[Images, Images]:
    is_held = np.isin(train.labels, held)
    return train.select(np.flatnonzero(~is_held)), train.select(np.flatnonzero(is_held))
