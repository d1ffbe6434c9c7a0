"""Which network to begin with: a pretrained one, where one can be had."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator

import keras

from dce_tf.base.errors import first_line
from dce_tf.network.backbones import build_backbone, check_backbone

PRETRAINED = "efficientnetb0"
"""What is downloaded, once, where nobody names a backbone."""
SMALL = "small"

_PATIENCE = 20.0  # Seconds without a byte, after which there is no network here.


@dataclasses.dataclass(frozen=True)
class Choice:
    """A network to begin with.

    Attributes:
        backbone: As for `--backbone`.
        is_pretrained: Whether it knows photographs already.
        reason: Why it is this one.
    """

    backbone: str
    is_pretrained: bool
    reason: str


def choose_network(given: str | None, image_size: int) -> Choice:
    """Returns what the user named, or else what can be had.

    Args:
        given: `--backbone`, if the user named one.
        image_size: Side of the images, for a network that is downloaded.

    Raises:
        UsageError: If the user named none that there is.
        ValueError: If its file is damaged.
    """
    if given is not None:
        check_backbone(given)
        pretrained = given != SMALL and "weights=None" not in given
        return Choice(given, pretrained, f"{given}, as you say.")
    try:
        with _impatient():
            build_backbone(PRETRAINED, image_size=image_size)
    except ValueError as error:
        cause = error.__cause__
        why = first_line(cause if isinstance(cause, Exception) else error)
        return Choice(
            SMALL,
            False,
            f"{SMALL}, from random weights, as no pretrained network can be had here: "
            f"{why}. Expect much lower scores than a pretrained network gives; with "
            "the file of one, pass --backbone=FILE.keras.",
        )
    finally:
        keras.utils.clear_session()
    return Choice(PRETRAINED, True, f"{PRETRAINED}, with ImageNet weights.")


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Lets downloads fail where nothing arrives: Keras itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
