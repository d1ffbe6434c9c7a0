"""Finds a collection by the words that name it."""

from __future__ import annotations

from pathlib import Path

from dce_tf.index.collection import Collection
from dce_tf.index.local import LocalCollection


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
    if fingerprint is not None and collection.fingerprint != fingerprint:
        found = collection.fingerprint
        collection.close()
        raise ValueError(
            f"{where} holds embeddings of the model {found}; the model in use is "
            f"{fingerprint}, and embeddings of two models cannot be compared. Use the "
            "other model, or make the index anew with `python main.py embed` and "
            "`python main.py index`."
        )
    return collection


def _opened(where: str, read_only: bool) -> Collection:
    return LocalCollection(Path(where), read_only=read_only)
