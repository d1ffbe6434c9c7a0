"""Embeddings that were made elsewhere: arrays in files, and their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.datasets import Images, Search, Splits
from dce_tf.datasets.checks import check_search
from dce_tf.datasets.labels import check_names, load_npy, read_labels
from dce_tf.retrieval.vectors import check_vectors


class StoredEmbeddings:
    """Hands out embeddings of files; the path of an image is its row.

    Args:
        files: `.npy` files, real numbers `(num_images, embedding_dim)`, one after the
            other: of the queries, and of the gallery if that is another.

    Raises:
        ValueError: If a file is not such an array, or they do not fit together.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        parts = [
            _load_embeddings(file, name)
            for file, name in zip(files, ("query", "gallery"), strict=False)
        ]
        widths = [part.shape[1] for part in parts]
        if len(set(widths)) > 1:
            raise ValueError(
                f"{files[0]} and {files[1]} hold embeddings of different widths: "
                f"{widths[0]} and {widths[1]}. Take both from one model."
            )
        # NumPy chooses a dtype that holds both.
        self._array = parts[0] if len(parts) == 1 else np.concatenate(parts)
        self.sizes = [len(part) for part in parts]

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> npt.NDArray[Any]:
        """Returns embeddings, in the dtype of the files; see `Embedder`."""
        on_batch(len(paths))
        return self._array[[int(path) for path in paths]]


def stored_search(
    files: Sequence[Path], labels: Sequence[Path]
) -> tuple[StoredEmbeddings, Splits]:
    """Makes a search of embeddings and labels in files.

    Args:
        files: The `.npy` of the queries and, if it is another, that of the gallery.
        labels: The labels of each: see `read_labels`.

    Returns:
        What hands the embeddings out, and splits whose test is the search.

    Raises:
        ValueError: If a file is not of its format, the numbers do not fit, a class is
            spelled in two ways, or nothing can be found.
    """
    stored = StoredEmbeddings(files)
    names = [read_labels(path) for path in labels]
    for path, given, size in zip(labels, names, stored.sizes, strict=True):
        if len(given) != size:
            raise ValueError(
                f"{path}: found {len(given)} labels; expected {size}, one for each "
                "embedding."
            )
    source = " and ".join(map(str, labels))
    everything = [name for part in names for name in part]
    warnings = check_names(source, everything)
    rows = [str(row) for row in range(sum(stored.sizes))]
    images = Images.from_names(rows, everything)
    cut = np.arange(stored.sizes[0])
    query = gallery = images.keep(cut)
    if len(files) > 1:
        gallery = images.keep(np.arange(len(cut), len(rows)))
    search = Search("test", query, gallery)
    warnings += check_search(source, search)
    return stored, Splits(Images.none(), None, (search,), warnings=warnings)


def _load_embeddings(path: Path, name: str) -> npt.NDArray[Any]:
    array = load_npy(path, "an array of embeddings, (num_images, embedding_dim)")
    try:
        return check_vectors(array, name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
