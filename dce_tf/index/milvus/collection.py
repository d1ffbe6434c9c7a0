"""A collection on a Milvus server, or in a file of Milvus Lite."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dce_tf.index.checks import check_id, check_k, check_records, unit_vectors
from dce_tf.index.collection import Hit, Id, Record, Vectors
from dce_tf.index.filters import parse_filter
from dce_tf.index.maps import Reservoir, draw_map
from dce_tf.index.milvus.client import (
    ABOUT,
    AT_ONCE,
    beside,
    connect,
    explained,
    read_about,
    write_about,
    write_map,
)
from dce_tf.index.milvus.conditions import (
    Address,
    as_expression,
    decode_id,
    encode_id,
    search_parameters,
)
from dce_tf.index.milvus.records import as_hit, as_record, as_row
from dce_tf.index.pictures import SIDE
from dce_tf.index.shared import SharedCollection

MOST_HITS = 16_384  # That Milvus returns of one search.
MOST_LOOKED_AT = 100_000  # Records, for the labels there are.


class MilvusCollection(SharedCollection):
    """Records of a Milvus collection; what is known of it lies in one beside it.

    Milvus decides what is durable, and keeps its index up to date by itself. A change
    of more than a thousand records is several requests, of which an end of the process
    may leave the first.

    Args:
        address: Where it is.
        read_only: Never change it.

    Raises:
        OSError: If the server cannot be reached, or refuses.
        ValueError: If there is no such collection of dce_tf.
    """

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        self._address = address
        self._changing = threading.Lock()
        self._client = connect(address)
        try:
            with explained(address):
                about = read_about(self._client, address)
                self._client.load_collection(address.name)
                self._client.load_collection(beside(address))
        except BaseException:
            self._client.close()
            raise
        super().__init__(address, about, read_only=read_only)

    def __len__(self) -> int:
        (found,) = self._query("", ["count(*)"])
        return int(found["count(*)"])

    def _query(self, expression: str, fields: list[str], **more: Any) -> list[Any]:
        with explained(self._address):
            found = self._client.query(
                self.name,
                filter=expression,
                output_fields=fields,
                consistency_level="Strong",
                **more,
            )
        return list(found)

    def _by_id(self, ids: Sequence[Id], fields: list[str]) -> dict[str, Any]:
        """Returns fields of the records there are, by coded id."""
        found = []
        for start in range(0, len(ids), AT_ONCE):
            coded = [encode_id(check_id(each)) for each in ids[start : start + AT_ONCE]]
            term = f"id in {json.dumps(coded)}"
            found += self._query(term, ["id", *fields])
        return {each["id"]: each for each in found}

    def search(
        self, queries: Vectors, k: int, where: Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """Finds the records nearest to each query; see `Collection`."""
        queries = unit_vectors(queries, self.embedding_dim, "query")
        expression, k = as_expression(parse_filter(where)), check_k(k)
        if k > MOST_HITS:
            raise ValueError(f"k: received {k}; Milvus returns at most {MOST_HITS}.")
        found: list[list[Hit]] = []
        looking = search_parameters(self._about["kind"], self._about["lists"], k)
        for start in range(0, len(queries), AT_ONCE):
            with explained(self._address):
                results = self._client.search(
                    self.name,
                    data=list(queries[start : start + AT_ONCE]),
                    filter=expression,
                    limit=k,
                    output_fields=["label", "metadata"],
                    search_params={"metric_type": "COSINE", "params": looking},
                    consistency_level="Strong",
                )
            found += [[as_hit(each) for each in result] for result in results]
        return found

    def get(self, ids: Sequence[Id]) -> list[Record | None]:
        """Returns the records of these names; see `Collection`."""
        fields = ["vector", "label", "path", "metadata", "thumbnail"]
        found = self._by_id(ids, fields)
        return [
            as_record(found[encode_id(each)]) if encode_id(each) in found else None
            for each in ids
        ]

    def upsert(self, records: Sequence[Record]) -> None:
        """Stores records; see `Collection`."""
        self._check_writable()
        vectors = check_records(records, self.embedding_dim)
        rows = [as_row(*each) for each in zip(records, vectors, strict=True)]
        names = {name for record in records for name in record.metadata}
        with self._changing, explained(self._address):
            for start in range(0, len(rows), AT_ONCE):
                self._client.upsert(self.name, rows[start : start + AT_ONCE])
            if not names <= set(self._about["fields"]):
                fields = sorted(names | set(self._about["fields"]))
                self._about = {**self._about, "fields": fields}
                write_about(self._client, self._address, self._about)

    def delete(self, ids: Sequence[Id]) -> int:
        """Removes records; see `Collection`."""
        self._check_writable()
        with self._changing:
            present = list(self._by_id(ids, []))
            with explained(self._address):
                for start in range(0, len(present), AT_ONCE):
                    chosen = present[start : start + AT_ONCE]
                    self._client.delete(self.name, filter=f"id in {json.dumps(chosen)}")
        return len(present)

    def rebuild(self) -> None:
        """Makes the map again, and asks Milvus to seal and index what came since."""
        self._check_writable()
        with self._changing:
            with explained(self._address):
                self._client.flush(self.name)
            plan = self._map_plan()
            if plan is None:
                return
            drawn = draw_map(plan, self._sampled(plan.points))
            write_map(self._client, self._address, drawn)

    def _sampled(self, count: int) -> list[Record]:
        sample: Reservoir[str] = Reservoir(count)
        for batch in self._every("", ["id"]):
            sample.add([each["id"] for each in batch])
        found = self.get([decode_id(each) for each in sample.kept])
        return [each for each in found if each]

    def _every(self, expression: str, fields: list[str]) -> Iterator[list[Any]]:
        with explained(self._address):
            iterator = self._client.query_iterator(
                self.name,
                batch_size=AT_ONCE,
                filter=expression,
                output_fields=fields,
                consistency_level="Strong",
            )
            try:
                while batch := list(iterator.next()):
                    yield batch
            finally:
                iterator.close()

    def describe(self) -> dict[str, Any]:
        """Returns what there is to know; see `Collection`."""
        return self._described(len(self), self._about["fields"])

    def labels(self, most: int = 1000) -> list[str]:
        """Returns the classes there are among `MOST_LOOKED_AT`; see `Collection`."""
        found: set[str] = set()
        looked_at = 0
        for batch in self._every("label is not null", ["label"]):
            found |= {each["label"] for each in batch}
            looked_at += len(batch)
            if looked_at >= MOST_LOOKED_AT:
                break
        return sorted(found)[:most]

    def sample(self, count: int) -> Vectors:
        """Returns vectors of records drawn at random; see `Collection`."""
        vectors = [record.vector for record in self._sampled(count)]
        return np.asarray(vectors, np.float32).reshape(-1, self.embedding_dim)

    def thumbnail(self, record_id: Id, side: int = SIDE) -> bytes | None:
        """Returns a small JPEG of a record; see `Collection`."""
        found = self._by_id([record_id], ["path", "thumbnail"])
        record = found.get(encode_id(record_id))
        if record is None:
            return None
        jpeg = record.get("thumbnail")
        return self._picture(
            record.get("path"), None if jpeg is None else base64.b64decode(jpeg), side
        )

    def map(self) -> dict[str, Any] | None:
        """Returns the gallery in two dimensions; see `Collection`."""
        if self._about["map"] is None:
            return None
        with explained(self._address):
            found = self._client.query(
                beside(self._address),
                filter=f'key != "{ABOUT}"',
                output_fields=["key", "value"],
                limit=MOST_HITS,
                consistency_level="Strong",
            )
        pieces = {each["key"]: each["value"] for each in found}
        drawn: dict[str, Any] = json.loads(
            "".join(pieces[key] for key in sorted(pieces))
        )
        return drawn

    def close(self) -> None:
        """Gives the connection back."""
        self._client.close()
