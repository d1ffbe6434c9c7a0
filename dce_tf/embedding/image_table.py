"""Images to embed, in columns: for lists that are too long for an object each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import pyarrow as pa

from dce_tf.embedding.image_list import Input

BLOCK = 4096  # Rows that become objects at once.


class ImageTable(Sequence[Input]):
    """Images as a table of Arrow: a slice of it is no copy.

    Args:
        table: Columns `id` (text or int64), `path`, `label` and `metadata` (JSON; null
            where there is none).
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @classmethod
    def of(cls, images: Iterable[Input]) -> ImageTable:
        """Returns images in columns."""
        given = list(images)
        texts = [json.dumps(each.metadata) if each.metadata else None for each in given]
        numbers = bool(given) and isinstance(given[0].id, int)
        return cls(
            pa.table(
                {
                    "id": pa.array(
                        [each.id for each in given],
                        pa.int64() if numbers else pa.string(),
                    ),
                    "path": pa.array([each.path for each in given], pa.string()),
                    "label": pa.array([each.label for each in given], pa.string()),
                    "metadata": pa.array(texts, pa.string()),
                }
            )
        )

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, place: int) -> Input: ...

    @overload
    def __getitem__(self, place: slice) -> ImageTable: ...

    def __getitem__(self, place: int | slice) -> Input | ImageTable:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                raise ValueError(f"A step of {step}: only ranges of rows can be taken.")
            return ImageTable(self.table.slice(start, max(0, stop - start)))
        row = place + len(self) if place < 0 else place
        if not 0 <= row < len(self):
            raise IndexError(f"Row {place} of {len(self)}.")
        return next(iter(self[row : row + 1]))

    def __iter__(self) -> Iterator[Input]:
        for batch in self.table.to_batches(BLOCK):
            columns = (
                batch.column(name).to_pylist()
                for name in ("id", "path", "label", "metadata")
            )
            for name, path, label, text in zip(*columns, strict=True):
                yield Input(name, path, label, json.loads(text) if text else {})
