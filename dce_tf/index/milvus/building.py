"""Makes a collection in Milvus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.index.calibration import Calibration
from dce_tf.index.checks import check_records
from dce_tf.index.collection import Record
from dce_tf.index.maps import MapPlan, Reservoir, draw_map
from dce_tf.index.milvus.client import (
    AT_ONCE,
    beside,
    connect,
    create,
    create_beside,
    explained,
    write_about,
    write_map,
)
from dce_tf.index.milvus.conditions import Address, index_of
from dce_tf.index.milvus.records import as_row
from dce_tf.index.shared import new_about


def build_milvus(
    address: Address,
    blocks: Iterable[Sequence[Record]],
    *,
    fingerprint: str,
    embedding_dim: int,
    count: int = 0,
    kind: str = "auto",
    model: str = "",
    image_root: str | None = None,
    map_plan: MapPlan | None = None,
    calibration: Calibration | None = None,
    overwrite: bool = False,
) -> int:
    """Makes a collection in Milvus.

    It can be opened when it is whole, not before; a process that ends in between leaves
    one that --overwrite replaces.

    Args:
        address: Where.
        blocks: The records, a few thousand at a time.
        fingerprint: Which model made the embeddings.
        embedding_dim: Their width.
        count: About how many there will be, for the lists of an IVF index.
        kind: How it is searched: `auto`, or an entry of `kinds.KINDS`.
        model: Where the model lies.
        image_root: Folder that the paths of records are relative to.
        map_plan: How to make a map, if one is wanted.
        calibration: What scores mean, if that is known.
        overwrite: Take the place of a collection that is there.

    Returns:
        How many records there are.

    Raises:
        OSError: If the server cannot be reached, or refuses.
        UsageError: If a collection is there already, or `kind` is none.
        ValueError: If a record cannot be stored, or a name occurs twice.
    """
    index_type, parameters = index_of(kind, embedding_dim, count)
    client = connect(address)
    try:
        with explained(address):
            _make_room(client, address, overwrite)
            create(client, address, embedding_dim, index_type, parameters)
        sample: Reservoir[Record] = Reservoir(map_plan.points if map_plan else 0)
        fields: set[str] = set()
        stored = 0
        for records in blocks:
            vectors = check_records(records, embedding_dim)
            rows = [as_row(*each) for each in zip(records, vectors, strict=True)]
            with explained(address):
                for start in range(0, len(rows), AT_ONCE):
                    client.upsert(address.name, rows[start : start + AT_ONCE])
            sample.add(records)
            fields |= {name for record in records for name in record.metadata}
            stored += len(records)
        about = new_about(
            fingerprint=fingerprint,
            embedding_dim=embedding_dim,
            kind=kind,
            model=model,
            image_root=image_root,
            map_plan=map_plan,
            calibration=calibration,
        )
        about |= {"lists": parameters.get("nlist", 0), "fields": sorted(fields)}
        with explained(address):
            client.flush(address.name)
            _check_count(client, address, stored)
            create_beside(client, address)
            if map_plan:
                write_map(client, address, draw_map(map_plan, sample.kept))
            write_about(client, address, about)
    finally:
        client.close()
    return stored


def _check_count(client: Any, address: Address, stored: int) -> None:
    (found,) = client.query(
        address.name,
        filter="",
        output_fields=["count(*)"],
        consistency_level="Strong",
    )
    if found["count(*)"] != stored:
        raise ValueError(
            f"id: found {found['count(*)']} different ones in {stored} records; "
            "expected each once."
        )


def _make_room(client: Any, address: Address, overwrite: bool) -> None:
    present = [
        name for name in (beside(address), address.name) if client.has_collection(name)
    ]
    if present and not overwrite:
        raise UsageError(
            f"{address} is there already. Pass --overwrite to replace it, or another "
            "--name."
        )
    for name in present:
        client.drop_collection(name)
