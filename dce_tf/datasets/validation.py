"""Holding out training classes, so that the test chooses nothing."""

from __future__ import annotations

import numpy as np

from dce_tf.datasets.splits import Images
from dce_tf.errors import UsageError


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
        What is left to train on, and what is held out, classes numbered anew.

    Raises:
        UsageError: If `fraction` is not in (0, 1), or less than two classes, or none
            with two images, would be left on either side.
    """
    if not 0 < fraction < 1:
        raise UsageError(
            f"--val_fraction received {fraction}; expected a share in (0, 1). Correct "
            "it, or pass --val_fraction=0 to hold nothing out."
        )
    sizes = np.bincount(train.labels, minlength=len(train.class_names))
    classes = np.random.default_rng(seed).permutation(np.flatnonzero(sizes))
    classes = np.concatenate(
        [classes[sizes[classes] > 1], classes[sizes[classes] == 1]]
    )
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
    is_held = np.isin(train.labels, held)
    return train.select(np.flatnonzero(~is_held)), train.select(np.flatnonzero(is_held))
