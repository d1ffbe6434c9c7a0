"""The gallery of a signature that searches: embeddings that `embed` wrote."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from dce_tf.index.collection import Vectors
from dce_tf.index.embeddings import check_folder, read_records


@dataclasses.dataclass(frozen=True, eq=False)
class Gallery:
    """Embeddings to search in.

    Attributes:
        ids: Name of each image, as text.
        labels: Class of each image, `""` where it is not known.
        vectors: float32 `(num_images, embedding_dim)`.
    """

    ids: tuple[str, ...]
    labels: tuple[str, ...]
    vectors: Vectors


def read_gallery(folder: Path, fingerprint: str) -> Gallery:
    """Reads embeddings that the model to be exported made.

    Args:
        folder: With `part-….parquet`.
        fingerprint: Of the model that is exported.

    Raises:
        ValueError: If there are none, they are another model's, or an id occurs twice.
    """
    header, parts = check_folder(folder)
    if header.fingerprint != fingerprint:
        raise ValueError(
            f"--top_k_index={folder} holds embeddings of another model: its "
            f"fingerprint is {header.fingerprint}, that of the model to be exported is "
            f"{fingerprint}. Embed the gallery with this model, exported with the same "
            "flags, and try again."
        )
    ids, labels, blocks = [], [], []
    for records in read_records(folder, parts):
        ids += [str(record.id) for record in records]
        labels += [record.label or "" for record in records]
        blocks.append(np.stack([record.vector for record in records]))
    twice = [name for name, times in Counter(ids).items() if times > 1]
    if twice:
        raise ValueError(
            f"--top_k_index={folder}: found the id {twice[0]} twice; expected each "
            "once, as what is found is named by it. Remove the older files."
        )
    return Gallery(tuple(ids), tuple(labels), np.concatenate(blocks))
