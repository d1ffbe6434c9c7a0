"""Stages as shares of a run: `divide:0.4, whole:0.55, finetune:0.05`."""

from __future__ import annotations

import math

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest

NAMES = ("divide", "whole", "finetune")


def stage_starts(text: str, num_epochs: int) -> tuple[int, int]:
    """Returns the first epochs of the whole embedding and of finetuning.

    Args:
        text: Shares of the stages by name, each 0 to 1; a stage that is left out has
            none. Boundaries are rounded to whole epochs.
        num_epochs: Epochs of the run.

    Raises:
        UsageError: If a name is unknown or occurs twice, a share is no number from 0
            to 1, or the shares do not add up to 1.
    """
    shares = dict.fromkeys(NAMES, 0.0)
    seen = []
    for item in text.split(","):
        name, _, share = (part.strip() for part in item.partition(":"))
        if name not in NAMES or name in seen:
            what = "occurs twice" if name in seen else "is no stage"
            raise UsageError(
                f"--stages={text!r}: {name!r} {what}; expected each of "
                f"{', '.join(NAMES)} once at most.{suggest(name, NAMES)}"
            )
        seen.append(name)
        shares[name] = _share(text, name, share)
    total = sum(shares.values())
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise UsageError(
            f"--stages={text!r}: the shares add up to {total:g}; expected 1."
        )
    whole = round(shares["divide"] * num_epochs)
    return whole, round((shares["divide"] + shares["whole"]) * num_epochs)


def check_head_epochs(head_epochs: int, num_epochs: int) -> None:
    """Checks that the head does not take all epochs.

    Raises:
        UsageError: If it does.
    """
    if head_epochs and head_epochs >= num_epochs:
        most = f"at most --head_epochs={num_epochs - 1}, or " if num_epochs > 1 else ""
        raise UsageError(
            f"--head_epochs={head_epochs} leaves no epoch of --num_epochs={num_epochs} "
            f"to train the backbone in. Use {most}--num_epochs={head_epochs + 1}; to "
            "train the head alone, --trainable_blocks=0 --augmentation=none."
        )


def _share(text: str, name: str, share: str) -> float:
    try:
        value = float(share)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError(
            f"--stages={text!r}: {name} has the share {share!r}; expected a number "
            "from 0 to 1."
        )
    return value
