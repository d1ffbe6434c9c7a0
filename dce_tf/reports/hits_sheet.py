"""A sheet of images that were searched for, with what was found."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from dce_tf.index import Hit, Id
from dce_tf.reports.picture_sheet import PictureSheet
from dce_tf.reports.thumbnails import Picture, read_thumbnail

THUMBNAIL = 128
SHOWN = 12  # Hits per image.
_CAPTION = 16  # Letters.
QUERY, HIT = "#444444", "#cccccc"


def plot_hits(
    queries: Sequence[str],
    found: Sequence[Sequence[Hit]],
    thumbnail: Callable[[Id], bytes | None],
    path: Path,
) -> None:
    """Draws each image and what it found, the nearest first.

    Args:
        queries: Image files.
        found: What each found; beyond `SHOWN` hits are left out.
        thumbnail: Returns the JPEG of a record, or None.
        path: Where to write the PNG.
    """
    columns = 1 + min(SHOWN, max((len(hits) for hits in found), default=0))
    lefts = [1.1 * column for column in range(columns)]
    sheet = PictureSheet(lefts, len(queries), row_height=1.36, heading=0.34, side=1.2)
    for row, (query, hits) in enumerate(zip(queries, found, strict=True)):
        sheet.show(row, 0, read_thumbnail(query, THUMBNAIL), QUERY)
        sheet.write_above(row, 0, short(Path(query).name), 7)
        for column, hit in enumerate(hits[:SHOWN], start=1):
            sheet.show(row, column, picture_of(thumbnail(hit.id)), HIT)
            sheet.write_above(row, column, describe(hit), 7)
    save_words(sheet, path)


def save_words(sheet: PictureSheet, path: Path) -> None:
    """Writes a sheet whose words may be in any script: a font has not all."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        sheet.save(path)


def describe(hit: Hit) -> str:
    """Returns the score of a hit and, in a second line, what it is called."""
    return f"{hit.score:.3f}\n{short(hit.label or str(hit.id))}"


def picture_of(jpeg: bytes | None) -> Picture:
    """Returns the picture of a record, a grey one where there is none."""
    if jpeg is None:
        return np.full((THUMBNAIL, THUMBNAIL, 3), 230, np.uint8)
    return read_thumbnail(io.BytesIO(jpeg), THUMBNAIL)


def short(text: str) -> str:
    """Returns the end of a text that is too long to stand above a picture."""
    # A dollar sign would begin a formula.
    text = text if len(text) <= _CAPTION else f"…{text[1 - _CAPTION :]}"
    return text.replace("$", r"\$")
