"""What is said to Milvus, and what it calls the things we store."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from dce_tf.base.errors import UsageError, first_line
from dce_tf.base.program import PROGRAM
from dce_tf.index.checks import MOST_ID_BYTES
from dce_tf.index.milvus.conditions import Address
from dce_tf.index.milvus.lite_file import hold

try:
    from pymilvus import DataType, MilvusClient, MilvusException
except ImportError as error:
    raise UsageError(
        "An address of Milvus needs its client: `pip install pymilvus`, and for a file "
        "`pip install milvus-lite`."
    ) from error

LONGEST = 65_535  # Bytes of a text.
AT_ONCE = 1000  # Records of one request.
ABOUT = "about"

# Milvus Lite hangs up on a client that asks every ten seconds whether it is still there
# (github.com/milvus-io/milvus-lite/issues/334). It is: in this process.
_NO_PINGS = {
    "grpc.keepalive_time_ms": 2**31 - 1,
    "grpc.keepalive_permit_without_calls": False,
}


@contextlib.contextmanager
def explained(address: Address) -> Iterator[None]:
    """Says of an error of Milvus where it came from."""
    try:
        yield
    except MilvusException as error:
        raise OSError(f"{address}: Milvus says: {first_line(error)}.") from error


def connect(address: Address) -> Any:
    """Returns a client of the server, or of Milvus Lite on the file.

    Raises:
        OSError: If it cannot be reached.
        ValueError: If another process has the file.
    """
    is_file = "://" not in address.uri
    if is_file:
        hold(address.uri)
    try:
        return MilvusClient(
            address.uri,
            # Who asks: "user:password" or a key; a file needs none.
            token=os.environ.get("MILVUS_TOKEN", ""),
            grpc_options=_NO_PINGS if is_file else {},
        )
    except MilvusException as error:
        hint = "; is it running?" if not is_file else "."
        raise OSError(
            f"{address} cannot be reached: {first_line(error)}{hint}"
        ) from error


def beside(address: Address) -> str:
    """Returns the collection that holds what is known of one: texts by key."""
    return f"{address.name}_about"


def create(
    client: Any,
    address: Address,
    dim: int,
    index_type: str,
    parameters: dict[str, Any],
) -> None:
    """Makes the collection of the records, empty, with its index."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    # Each byte of an id may take three letters.
    schema.add_field(
        "id", DataType.VARCHAR, is_primary=True, max_length=3 * MOST_ID_BYTES + 1
    )
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
    for name, length in (
        ("label", MOST_ID_BYTES),
        ("path", LONGEST),
        ("thumbnail", LONGEST),
    ):
        schema.add_field(name, DataType.VARCHAR, max_length=length, nullable=True)
    schema.add_field("metadata", DataType.JSON)
    _create_with(client, address.name, schema, index_type, parameters)


def create_beside(client: Any, address: Address) -> None:
    """Makes the collection beside it, empty."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("key", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("value", DataType.VARCHAR, max_length=LONGEST)
    # Milvus has no collection without a vector.
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    _create_with(client, beside(address), schema, "FLAT", {})


def _create_with(
    client: Any, name: str, schema: Any, index_type: str, parameters: dict[str, Any]
) -> None:
    index = MilvusClient.prepare_index_params()
    index.add_index(
        "vector", index_type=index_type, metric_type="COSINE", params=parameters
    )
    client.create_collection(name, schema=schema, index_params=index)


def read_about(client: Any, address: Address) -> dict[str, Any]:
    """Returns what is known of a collection.

    Raises:
        ValueError: If there is none, or its making was not finished.
    """
    found = []
    if client.has_collection(address.name) and client.has_collection(beside(address)):
        client.load_collection(beside(address))
        found = client.query(
            beside(address),
            filter=f'key == "{ABOUT}"',
            output_fields=["value"],
            consistency_level="Strong",
        )
    if not found:
        raise ValueError(
            f"{address}: there is no such collection of dce_tf, or it is not complete. "
            f"Make it with `{PROGRAM} index EMBEDDINGS --milvus=URI --name=NAME "
            "--overwrite`."
        )
    about: dict[str, Any] = json.loads(found[0]["value"])
    return about


def write_about(client: Any, address: Address, about: Mapping[str, Any]) -> None:
    """Stores what is known of a collection: from then on it can be opened."""
    _write_texts(client, address, {ABOUT: json.dumps(about)})


def write_map(client: Any, address: Address, drawn: Mapping[str, Any]) -> None:
    """Stores a map in the place of an older one."""
    text = json.dumps(drawn)
    pieces = [text[start : start + LONGEST] for start in range(0, len(text), LONGEST)]
    client.delete(beside(address), filter=f'key != "{ABOUT}"')
    _write_texts(
        client, address, {f"map-{n:06d}": piece for n, piece in enumerate(pieces)}
    )


def _write_texts(client: Any, address: Address, texts: Mapping[str, str]) -> None:
    rows = [
        {"key": key, "value": value, "vector": [1.0, 0.0]}
        for key, value in texts.items()
    ]
    for row in rows:
        client.upsert(beside(address), [row])
