"""Finds a collection by the words that name it."""

from __future__ import annotations

from pathlib import Path

from dce_tf.base.program import PROGRAM
from dce_tf.index.collection import Collection
from dce_tf.index.local import LocalCollection
from dce_tf.index.milvus import conditions as milvus
from dce_tf.index.postgres import address as postgres


def open_collection(
    where: str | Path,
    *,
    fingerprint: str | None = None,
    read_only: bool = False,
) -> Collection:
    """Opens a collection.

    Args:
        where: Its directory; `milvus:URI#NAME`, the URI being a server's address or a
            file of Milvus Lite; or `postgres:DSN#NAME`.
        fingerprint: Of the model that queries are embedded with, if it is to be
            checked.
        read_only: Never change it; others may write to it meanwhile.

    Returns:
        The collection; close it after use.

    Raises:
        UsageError: If `where` is incomplete, or a library is missing.
        ValueError: If there is no such collection, it is damaged or in use, or its
            embeddings are of another model.
    """
    where = str(where)
    collection = _opened(where, read_only)
    if fingerprint is not None:
        try:
            check_model(collection, fingerprint, where)
        except ValueError:
            collection.close()
            raise
    return collection


def check_model(collection: Collection, fingerprint: str, where: str) -> None:
    """Checks that a collection's embeddings are of the model in use.

    Args:
        collection: The collection.
        fingerprint: Of the model that queries are embedded with.
        where: What the user calls the collection; a password in it is not told.

    Raises:
        ValueError: If they are of another, which cannot be compared.
    """
    if collection.fingerprint != fingerprint:
        raise ValueError(
            f"{_shown(where)} holds embeddings of the model {collection.fingerprint}; "
            f"the model in use is {fingerprint}, and embeddings of two models cannot "
            "be compared. Use the other model, or make the index again with "
            f"`{PROGRAM} embed` and `{PROGRAM} index`."
        )


def _shown(where: str) -> str:
    return str(postgres.Address.parse(where)) if _is_postgres(where) else where


def _is_postgres(where: str) -> bool:
    return where.startswith((postgres.PREFIX, "postgresql:"))


def _opened(where: str, read_only: bool) -> Collection:
    # Only those who use a server need the library that speaks to it.
    if where.startswith(milvus.PREFIX):
        from dce_tf.index.milvus.collection import MilvusCollection

        return MilvusCollection(milvus.Address.parse(where), read_only=read_only)
    if _is_postgres(where):
        from dce_tf.index.postgres.collection import PostgresCollection

        return PostgresCollection(postgres.Address.parse(where), read_only=read_only)
    return LocalCollection(Path(where), read_only=read_only)
