"""How well k-means on the embeddings finds the classes again."""

from __future__ import annotations

import numpy as np

from dce_tf.clustering import (
    adjusted_mutual_information,
    fit_kmeans,
    normalized_mutual_information,
    pairwise_f1,
)
from dce_tf.retrieval.metrics import Labels, Values
from dce_tf.retrieval.vectors import Numbers, centred, check_vectors

SCORES = {
    "nmi": normalized_mutual_information,
    "ami": adjusted_mutual_information,
    "f1": pairwise_f1,
}


def score_grouping(
    embeddings: Numbers,
    labels: Labels,
    *,
    num_runs: int = 1,
    seed: int = 0,
    num_iterations: int = 20,
    backend: str = "auto",
) -> dict[str, Values]:
    """Clusters embeddings into as many clusters as classes and compares the two.

    Args:
        embeddings: Real numbers `(num_images, dim)`.
        labels: Integers `(num_images,)`.
        num_runs: How often, each from another start.
        seed: Decides where k-means starts.
        num_iterations: Most iterations of k-means.
        backend: Where FAISS works.

    Returns:
        `nmi`, `ami` and `f1` of each run, float64 `(num_runs,)`: see
        `clustering.agreement`.
    """
    checked = check_vectors(embeddings, "gallery")
    points, _ = centred(checked, checked)
    num_classes = len(np.unique(labels))
    values = {name: np.zeros(num_runs) for name in SCORES}
    for run in range(num_runs):
        result = fit_kmeans(
            points,
            num_classes,
            seed=seed + run,
            num_iterations=num_iterations,
            backend=backend,
        )
        for name, score in SCORES.items():
            values[name][run] = score(result.assignment, labels)
    return values
