"""What can be searched: the interface that every kind of collection has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dce_tf.index.calibration import Calibration
from dce_tf.index.pictures import SIDE

Id = str | int
"""What names a record, to whoever stored it. `1` and `"1"` are two."""

Vectors = npt.NDArray[np.float32]
Places = npt.NDArray[np.int8]
"""Codes of the places of images, int8 `(…, places, numbers)`, of length 127."""


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One image of a collection.

    Attributes:
        id: Its name.
        vector: Its embedding, float32 `(embedding_dim,)`, of unit length.
        label: Its class, if it is known.
        path: Where its file lies, relative to the collection's image folder, if it has
            one.
        metadata: What else is known; JSON values by name.
        thumbnail: A small JPEG of it, if it came without a file.
        places: Codes of its places for a second look, int8 `(places, numbers)`, if its
            model gives them.
    """

    id: Id
    vector: Vectors
    label: str | None = None
    path: str | None = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    thumbnail: bytes | None = None
    places: Places | None = None


@dataclasses.dataclass(frozen=True)
class Hit:
    """A record that was found.

    Attributes:
        id: Its name.
        score: Cosine similarity to the query, −1 to 1.
        label: Its class, if it is known.
        metadata: What else is known of it.
    """

    id: Id
    score: float
    label: str | None
    metadata: Mapping[str, Any]


class DamagedError(ValueError):
    """Files of a collection are not as they were written."""


class Collection(Protocol):
    """Embeddings of one model, by id.

    What a method changed is stored for good when it returns. All may be called from
    several threads.
    """

    @property
    def name(self) -> str:
        """What clients call it."""

    @property
    def fingerprint(self) -> str:
        """Which model made the embeddings: see `export.fingerprint`."""

    @property
    def embedding_dim(self) -> int:
        """Width of the embeddings."""

    @property
    def calibration(self) -> Calibration | None:
        """What scores mean; None where nobody has calibrated the model."""

    @property
    def place_codes(self) -> str | None:
        """Which codes of places its records have; None if it stores none."""

    def __len__(self) -> int:
        """Returns how many records there are."""

    def search(
        self, queries: Vectors, k: int, where: Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """Finds the records nearest to each query.

        Args:
            queries: float32 `(num_queries, embedding_dim)`, of any length above 0.
            k: How many to find; fewer where the collection has fewer.
            where: Which records count: see `index.filters`.

        Returns:
            For each query its hits, the nearest first.

        Raises:
            ValueError: If the queries have another width, `k` is below 1, or `where` is
                no filter.
        """

    def get(self, ids: Sequence[Id]) -> list[Record | None]:
        """Returns the records of these names; None for those there are none of."""

    def places(self, ids: Sequence[Id]) -> list[Places | None]:
        """Returns the codes of places of records, for a second look.

        None for those that have none.
        """

    def upsert(self, records: Sequence[Record]) -> None:
        """Stores records, in the place of those of the same name; all or none.

        Raises:
            ValueError: If a vector has another width or is not finite, or a name
                occurs twice.
        """

    def delete(self, ids: Sequence[Id]) -> int:
        """Removes records; returns how many of the names there were."""

    def rebuild(self) -> None:
        """Makes the search structure and the map again from the records."""

    def describe(self) -> dict[str, Any]:
        """Returns what there is to know, as JSON values.

        At least `name`, `count`, `embedding_dim`, `kind`, `fingerprint`, `model` (where
        it came from), `fields` (names of metadata) and `map` (its method, or None).
        """

    def labels(self, most: int = 1000) -> list[str]:
        """Returns the classes there are, sorted, up to a number of them."""

    def sample(self, count: int) -> Vectors:
        """Returns vectors of records drawn without regard to what they show.

        Args:
            count: How many; all of them where there are not as many.

        Returns:
            float32 `(num_drawn, embedding_dim)`.
        """

    def thumbnail(self, record_id: Id, side: int = SIDE) -> bytes | None:
        """Returns a small JPEG of a record, or None if there is no picture of it.

        Args:
            record_id: Its name.
            side: Pixels that the longer side may have; it has fewer where the record
                came without a file.
        """

    def map(self) -> dict[str, Any] | None:
        """Returns the gallery in two dimensions, as it was when the index was made.

        `method`, and `points`, each with `id`, `label`, `x`, `y` and `cluster`; None if
        no map was made.
        """

    def close(self) -> None:
        """Gives files and connections back."""
