"""Drawing one instance of a glyph class: a typeface, a small affine, some grime.

The strengths are set so that the nearest neighbour in raw pixels is right in a
third (Euclidean) to six tenths (centred cosine) of the cases: readable, not solved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFont

from dce_tf.datasets.glyph_classes import GlyphClass, draw_glyph

SIDE = 48  # pixels of an instance

_POINTS = 64  # a master is drawn larger than it is shown, so that scaling is smooth
_LEVELS = 24  # brightness step, of 255: coarse, so that a file stays near 1 KB


def load_fonts(faces: Mapping[str, Path]) -> dict[str, ImageFont.FreeTypeFont]:
    """Opens typefaces at the size that `draw_instances` works from."""
    layout = ImageFont.Layout.BASIC
    return {
        stem: ImageFont.truetype(file, _POINTS, layout_engine=layout)
        for stem, file in faces.items()
    }


def draw_instances(
    glyph_class: GlyphClass,
    num_instances: int,
    fonts: Mapping[str, ImageFont.FreeTypeFont],
) -> Iterator[Image.Image]:
    """Draws a class, each time in another typeface for as long as there is one.

    The randomness depends on the character alone, so a class looks the same
    whichever others are drawn.

    Args:
        glyph_class: What to draw.
        num_instances: How many pictures.
        fonts: The typefaces, by stem, as `load_fonts` opens them.

    Yields:
        Grey pictures of `SIDE` × `SIDE` pixels.

    Raises:
        ValueError: If a typeface of the class draws no ink.
    """
    rng = np.random.default_rng(ord(glyph_class.character))
    faces = rng.permutation(np.asarray(glyph_class.faces))
    for face in np.resize(faces, num_instances):
        master = draw_glyph(fonts[face], glyph_class.character)
        if master is None:
            raise ValueError(
                f"{face} draws nothing for {glyph_class.name}; expected a typeface "
                "that choose_classes found for this class."
            )
        yield _soil(_warp(master, rng), rng)


def _warp(master: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Rotates, shears, scales and shifts a glyph, all of it staying in the frame."""
    angle = np.deg2rad(rng.uniform(-10, 10))
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shear = np.array([[1, rng.uniform(-0.15, 0.15)], [0, 1]])
    stretch = np.diag(rng.uniform(0.85, 1.0, 2))
    matrix = turn @ shear @ stretch
    width, height = master.size
    corners = np.array([[-width, -height], [-width, height]]) / 2
    extent = np.abs(corners @ matrix.T).max(axis=0)  # half the warped size, x and y
    matrix *= rng.uniform(0.75, 0.92) * (SIDE / 2) / extent.max()
    room = SIDE / 2 - 1 - np.abs(corners @ matrix.T).max(axis=0)
    centre = SIDE / 2 + rng.uniform(-1, 1, 2) * np.minimum(room, 2)
    back = np.linalg.inv(matrix)  # PIL asks where each output pixel comes from
    offset = np.array([width, height]) / 2 - back @ centre
    return master.transform(
        (SIDE, SIDE),
        Image.Transform.AFFINE,
        (*back[0], offset[0], *back[1], offset[1]),
        Image.Resampling.BICUBIC,
    )


def _soil(glyph: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Puts a glyph in some ink on some paper, unevenly lit and grainy."""
    ink = np.asarray(glyph, np.float32) / 255
    paper, contrast = rng.uniform(160, 255), rng.uniform(95, 150)
    picture = paper - contrast * ink + _slope(rng)
    grain = rng.normal(0, 10, (SIDE // 2, SIDE // 2)).repeat(2, 0).repeat(2, 1)
    steps = np.round((picture + grain).clip(0, 255) / _LEVELS)
    return Image.fromarray((steps * _LEVELS).clip(0, 255).astype(np.uint8))


def _slope(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Returns the light falling off to one side, shape `(SIDE, SIDE)`."""
    across, down = rng.uniform(-20, 20, 2)
    ramp = np.linspace(-1, 1, SIDE)
    return np.asarray(across * ramp + down * ramp[:, None], np.float64)
