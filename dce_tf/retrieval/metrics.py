"""How well embeddings retrieve images of the same class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dce_tf.clustering import fit_kmeans, normalized_mutual_information
from dce_tf.retrieval.neighbours import search_blocks

Embeddings = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


def evaluate_retrieval(
    query: Embeddings,
    query_labels: Labels,
    gallery: Embeddings,
    gallery_labels: Labels,
    *,
    recall_at: Sequence[int] = (1, 2, 4, 8),
    leave_one_out: bool = False,
    backend: str = "auto",
) -> dict[str, float]:
    """Searches every query in the gallery, by Euclidean distance.

    R is the number of gallery images of the query's class, without the query itself;
    a query with R = 0 counts as a miss in every metric. Ties are broken as FAISS does.

    - `recall@K`: share of the queries with one of their class among the K nearest
      (Jégou et al. 2011).
    - `r_precision`: share of the R nearest that are of the query's class.
    - `map@r`: 1/R · Σ over the right ones among the R nearest, at rank i, of the share
      of right ones up to i (Musgrave et al., "A metric learning reality check", 2020).

    Args:
        query: float32 `(num_queries, dim)`.
        query_labels: int32 `(num_queries,)`.
        gallery: float32 `(num_gallery, dim)`.
        gallery_labels: int32 `(num_gallery,)`, numbered like the queries'.
        recall_at: The K.
        leave_one_out: Whether query and gallery are the same images, each searched
            among all others.
        backend: Where FAISS searches: `"auto"`, `"faiss"` or `"faiss-gpu"`.

    Returns:
        The means over all queries, each 0 to 1.

    Raises:
        ValueError: If there is nothing to search, embeddings and labels are not equally
            many, a K is below 1, or an embedding is not finite.
    """
    _check("query", query, query_labels)
    _check("gallery", gallery, gallery_labels)
    if leave_one_out and len(query) != len(gallery):
        raise ValueError(
            "leave_one_out searches images among themselves: query and gallery must "
            f"be the same; received {len(query)} and {len(gallery)} images."
        )
    if min(recall_at, default=0) < 1:
        raise ValueError(
            f"Each K of recall_at must be 1 or more; received {recall_at}."
        )
    num_classes = int(max(query_labels.max(), gallery_labels.max())) + 1
    in_gallery = np.bincount(gallery_labels, minlength=num_classes)
    relevant = in_gallery[query_labels] - leave_one_out
    totals: dict[str, float] = dict.fromkeys(
        [*(f"recall@{k}" for k in recall_at), "map@r", "r_precision"], 0.0
    )
    blocks = search_blocks(
        query,
        gallery,
        np.maximum(relevant, max(recall_at)),
        exclude_self=leave_one_out,
        backend=backend,
    )
    for rows, found, _ in blocks:
        right = gallery_labels[found] == query_labels[rows, None]
        for k in recall_at:
            totals[f"recall@{k}"] += np.count_nonzero(right[:, :k].any(axis=1))
        precision, average = _scores_at_r(right, relevant[rows])
        totals["r_precision"] += precision
        totals["map@r"] += average
    return {key: float(total / len(query)) for key, total in totals.items()}


def _check(name: str, embeddings: Embeddings, labels: Labels) -> None:
    if not len(embeddings) or len(embeddings) != len(labels):
        raise ValueError(
            f"The {name} must be one or more embeddings with a label each; received "
            f"{len(embeddings)} embeddings and {len(labels)} labels."
        )


def _scores_at_r(
    right: npt.NDArray[np.bool_], relevant: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Sums R-precision and MAP@R over the queries of a block."""
    right = right[:, : max(1, relevant.max(initial=1))]
    rank = np.arange(1, right.shape[1] + 1)
    hits = right & (rank <= relevant[:, None])
    share = np.cumsum(hits, axis=1, dtype=np.float32) / rank
    per_query = np.maximum(relevant, 1)
    precision = hits.sum(axis=1) / per_query
    average = np.where(hits, share, 0).sum(axis=1, dtype=np.float64) / per_query
    return float(precision.sum()), float(average.sum())


def clustering_nmi(
    embeddings: Embeddings,
    labels: Labels,
    *,
    seed: int = 0,
    num_iterations: int = 20,
    backend: str = "auto",
) -> float:
    """Clusters embeddings into as many clusters as classes and compares the two.

    Args:
        embeddings: float32 `(num_images, dim)`.
        labels: int32 `(num_images,)`.
        seed: Decides where k-means starts.
        num_iterations: Most iterations of k-means.
        backend: Where FAISS works.

    Returns:
        Normalised mutual information, 0 to 1.
    """
    num_classes = len(np.unique(labels))
    result = fit_kmeans(
        embeddings,
        num_classes,
        seed=seed,
        num_iterations=num_iterations,
        backend=backend,
    )
    return normalized_mutual_information(result.assignment, labels)
