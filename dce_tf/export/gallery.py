"""The gallery of a signature that searches: what `embed` or `index` wrote."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dce_tf.index.building import RECORDS
from dce_tf.index.checks import unit_vectors
from dce_tf.index.collection import Record, Vectors
from dce_tf.index.embeddings import check_folder, read_records
from dce_tf.index.manifest import FILE, Manifest
from dce_tf.index.records import RecordStore


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """Embeddings to search in.

    Attributes:
        ids: Name of each image, as text.
        labels: Class of each image, `""` where it is not known.
        vectors: float32 `(num_images, embedding_dim)`, of unit length.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    vectors: Vectors


def read_gallery(folder: Path, fingerprint: str) -> Gallery:
    """Reads embeddings that the model to be exported made.

    Args:
        folder: Of embeddings, or an index on disk.
        fingerprint: Of the model that is exported.

    Raises:
        ValueError: If there are none, they are another model's, an id occurs twice, or
            an embedding has no direction.
    """
    if (folder / FILE).is_file():
        manifest = Manifest.read(folder)
        theirs, blocks = manifest.fingerprint, _stored(folder, manifest.embedding_dim)
    else:
        header, parts = check_folder(folder)
        theirs, blocks = header.fingerprint, read_records(folder, parts)
    if theirs != fingerprint:
        raise ValueError(
            f"--top_k_index={folder} holds embeddings of another model: its "
            f"fingerprint is {theirs}, that of the model to be exported is "
            f"{fingerprint}. Embed the gallery with this model, exported with the same "
            "flags, and try again."
        )
    return _joined(folder, blocks)


def _stored(folder: Path, dim: int) -> Iterator[list[Record]]:
    store = RecordStore(folder / RECORDS, read_only=True)
    try:
        with store.snapshot(dim) as (_, blocks):
            for rows, vectors in blocks:
                known = store.hits(rows.tolist())
                yield [
                    Record(known[row][0], vector, known[row][1])
                    for row, vector in zip(rows.tolist(), vectors, strict=True)
                    if row in known
                ]
    finally:
        store.close()


def _joined(folder: Path, blocks: Iterator[Sequence[Record]]) -> Gallery:
    ids: list[str] = []
    labels: list[str] = []
    vectors = []
    for records in blocks:
        ids += [str(record.id) for record in records]
        labels += [record.label or "" for record in records]
        vectors += [record.vector for record in records]
    twice = [name for name, times in Counter(ids).items() if times > 1]
    if twice or not ids:
        found = f"the id {twice[0]} twice" if twice else "no images"
        raise ValueError(
            f"--top_k_index={folder}: found {found}; expected images, each with a name "
            "of its own as text. Embed the gallery again."
        )
    stacked = np.stack(vectors)
    unit = unit_vectors(stacked, stacked.shape[1], f"--top_k_index={folder}")
    return Gallery(tuple(ids), tuple(labels), unit)
