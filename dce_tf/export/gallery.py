"""The gallery of a signature that searches: embeddings read from Parquet files."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq


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
    vectors: npt.NDArray[np.float32]


def read_gallery(folder: Path, fingerprint: str) -> Gallery:
    """Reads embeddings that the model to be exported made.

    Args:
        folder: With `part-….parquet`.
        fingerprint: Of the model that is exported.

    Raises:
        ValueError: If there are none, they are another model's, or an id occurs twice.
    """
    files = sorted(folder.glob("part-*.parquet"))
    if not files:
        raise ValueError(
            f"--top_k_index={folder} holds no embeddings (part-….parquet). Make some "
            "with `python main.py embed`."
        )
    tables = [_read(file, fingerprint) for file in files]
    table = pa.concat_tables(tables)
    ids = tuple(table["id"].to_pylist())
    if len(set(ids)) < len(ids):
        ((twice, _),) = Counter(ids).most_common(1)
        raise ValueError(
            f"--top_k_index={folder}: found the id {twice} twice; expected each once, "
            "as what is found is named by it. Remove the older files."
        )
    labels = tuple(label or "" for label in table["label"].to_pylist())
    column = table["embedding"].combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False)
    return Gallery(ids, labels, vectors.reshape(len(ids), -1).astype(np.float32))


def _read(file: Path, fingerprint: str) -> pa.Table:
    table = pq.read_table(file, columns=["id", "label", "embedding"])
    theirs = (table.schema.metadata or {}).get(b"dce_tf.fingerprint", b"none").decode()
    if theirs != fingerprint:
        raise ValueError(
            f"{file} holds embeddings of another model: its fingerprint is {theirs}, "
            f"that of the model to be exported is {fingerprint}. Embed the gallery "
            "with this model, exported with the same flags, and try again."
        )
    # Parts may differ in what is known of their labels.
    schema = pa.schema(
        {
            "id": pa.string(),
            "label": pa.string(),
            "embedding": table.schema.field("embedding").type,
        }
    )
    return table.cast(schema)
