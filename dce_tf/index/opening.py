"""Finds a collection by the words that name it."""

from __future__ import annotations

from pathlib import Path

from dce_tf.index.collection import Collection
from dce_tf.index.local import LocalCollection
from dce_tf.index.milvus.terms import PREFIX, Address


def open_collection(
    where: str, *, fingerprint: str | None = None, read_only: bool = False
) -> Collection:
    """Opens a collection.

    Args:
        where: Its directory, or `milvus:URI#NAME`, the URI being a server's address
            or a file of Milvus Lite.
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
        where: What the user calls the collection.

    Raises:
        ValueError: If they are of another, which cannot be compared.
    """
    if collection.fingerprint != fingerprint:
        raise ValueError(
            f"{where} holds embeddings of the model {collection.fingerprint}; the "
            f"model in use is {fingerprint}, and embeddings of two models cannot be "
            "compared. Use the other model, or make the index anew with `python "
            "main.py embed` and `python main.py index`."
        )


def _opened(where: str, read_only: bool) -> Collection:
    if not where.startswith(PREFIX):
        return LocalCollection(Path(where), read_only=read_only)
    # Only those who use Milvus need its library.
    from dce_tf.index.milvus.collection import MilvusCollection

    return MilvusCollection(Address.parse(where), read_only=read_only)
