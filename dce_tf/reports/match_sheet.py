"""A sheet of what was found, with the places of both images that speak for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.index import Hit
from dce_tf.reports.heat_overlay import draw_heat
from dce_tf.reports.hits_sheet import (
    HIT,
    QUERY,
    SHOWN,
    THUMBNAIL,
    describe,
    picture_of,
    save_words,
    short,
)
from dce_tf.reports.picture_sheet import PictureSheet
from dce_tf.reports.thumbnails import read_thumbnail

Heat = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, eq=False)
class ExplainedHit:
    """A record that was found, and why.

    Attributes:
        hit: The record.
        jpeg: Its picture, if there is one.
        query_heat: What each place of the query gives to the score, float32 `(rows,
            columns)`.
        record_heat: What each place of the record's picture gives; None without one.
    """

    hit: Hit
    jpeg: bytes | None
    query_heat: Heat
    record_heat: Heat | None

    @property
    def hottest(self) -> float:
        """The most that a place of either image gives, or takes."""
        maps = [self.query_heat, self.record_heat]
        return max(float(np.abs(each).max()) for each in maps if each is not None)


def plot_matches(
    queries: Sequence[str], found: Sequence[Sequence[ExplainedHit]], path: Path
) -> None:
    """Draws each image, once for each hit with the hit below, and heat over both.

    Args:
        queries: Image files.
        found: What each found, the nearest first; beyond `SHOWN` hits are left out.
        path: Where to write the PNG.
    """
    columns = 1 + min(SHOWN, max((len(hits) for hits in found), default=0))
    lefts = [1.1 * column for column in range(columns)]
    sheet = PictureSheet(
        lefts, 2 * len(queries), row_height=1.36, heading=0.34, side=1.2
    )
    for number, (query, hits) in enumerate(zip(queries, found, strict=True)):
        upper, lower = 2 * number, 2 * number + 1
        picture = read_thumbnail(query, THUMBNAIL)
        sheet.show(upper, 0, picture, QUERY)
        sheet.write_above(upper, 0, short(Path(query).name), 7)
        for column, each in enumerate(hits[:SHOWN], start=1):
            heated = draw_heat(picture, each.query_heat, each.hottest)
            sheet.show(upper, column, heated, QUERY)
            below = picture_of(each.jpeg)
            if each.record_heat is not None:
                below = draw_heat(below, each.record_heat, each.hottest)
            sheet.show(lower, column, below, HIT)
            sheet.write_above(lower, column, describe(each.hit), 7)
    save_words(sheet, path)
