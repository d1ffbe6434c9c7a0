"""A pretrained network where one can be had, and an honest sentence elsewhere."""

import socket

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.quickstart import networks
from dce_tf.quickstart.networks import choose_network


def test_named_backbone_is_taken() -> None:
    assert choose_network("small", 32).is_pretrained is False
    assert choose_network("efficientnetb0(weights=None)", 32).is_pretrained is False
    assert choose_network("resnet50", 32).is_pretrained is True
    with pytest.raises(UsageError, match="there is no such file"):
        choose_network("no/such.keras", 32)


def test_weights_that_can_be_had_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def build(spec: str, image_size: int) -> None:
        asked.append((spec, image_size, socket.getdefaulttimeout()))

    monkeypatch.setattr(networks, "build_backbone", build)
    assert choose_network(None, 128).backbone == "efficientnetb0"
    # Without one a download waits for ever.
    assert asked == [("efficientnetb0", 128, 20.0)]
    assert socket.getdefaulttimeout() is None


def test_without_a_network_random_weights_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(spec: str, image_size: int) -> None:
        raise ValueError("Cannot be had: …") from Exception("Name not known\nat all.")

    monkeypatch.setattr(networks, "build_backbone", build)
    choice = choose_network(None, 128)
    assert (choice.backbone, choice.is_pretrained) == ("small", False)
    assert choice.reason == (
        "small, from random weights, as no pretrained network can be had here: Name "
        "not known. Expect much lower scores than a pretrained network gives; with the "
        "file of one, pass --backbone=FILE.keras."
    )
