"""The page's colours: contrast, and telling clusters apart without all cones."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from tests.serving.page.conftest import Visit


def luminance(colour: np.ndarray) -> float:
    return float(linear(colour) @ (0.2126, 0.7152, 0.0722))


def linear(colour: np.ndarray) -> np.ndarray:
    part = colour / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the contrast ratio of WCAG 2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def oklab(light: np.ndarray) -> np.ndarray:
    """Returns linear RGB in Ottosson's OKLab, where distances are as seen."""
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    axes = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return np.cbrt(np.clip(light, 0, 1) @ cones.T) @ axes.T


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(visit: Callable[..., Visit], scheme: str) -> None:
    page = visit(color_scheme=scheme).open()

    def colour(name: str) -> np.ndarray:
        code = page.evaluate(
            "name => getComputedStyle(document.body).getPropertyValue(name)",
            f"--{name}",
        )
        return np.array([int(code[place : place + 2], 16) for place in (1, 3, 5)])

    for ground in ("paper", "card"):
        for text in ("ink", "soft", "accent"):
            assert contrast(colour(text), colour(ground)) >= 4.5, (text, ground)
        assert contrast(colour("edge"), colour(ground)) >= 3, ground
    assert contrast(colour("on-accent"), colour("accent")) >= 4.5
    for text in ("ink", "alarm"):
        assert contrast(colour(text), colour("alarm-tint")) >= 4.5
    assert contrast(colour("ink"), colour("line")) >= 4.5
    clusters = np.stack([colour(f"cluster-{n}") for n in range(8)])
    assert all(contrast(each, colour("card")) >= 2.99 for each in clusters)
    for sight, seen in SIGHTS.items():
        places = oklab(linear(clusters) @ seen.T)
        gaps = [np.linalg.norm(a - b) for a, b in itertools.combinations(places, 2)]
        # The eight of Okabe and Ito (2008) without black: 0.076.
        assert min(gaps) > 0.1, sight
