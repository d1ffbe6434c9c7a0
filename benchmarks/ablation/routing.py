"""Do queries find more if their learners are weighed by where a query lies?

    python -m benchmarks.ablation.routing --dogs=DIR --grocery=DIR --backbone=FILE.keras

Trains slices (K = 8) and searches with each query's slices weighed by its distance to
the centroids of the last clustering, as mixtures of experts do (MoDE, Ma et al., CVPR
2024). The gallery stays as it is. Prints MAP@R on the held-out classes and the gain of
each weighing over none, mean over the seeds with its 95 % interval.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from benchmarks.ablation.data_flags import add_data_flags, settings_of_data
from benchmarks.ablation.laboratory import (
    Part,
    Trained,
    config_of,
    read_material,
    train,
)
from benchmarks.ablation.results import interval
from benchmarks.timing import print_machine
from dce_tf.base.files import cache_folder
from dce_tf.clustering.points import unit_length
from dce_tf.retrieval import evaluate_retrieval

IDEA = "slices, K = 8"
WEIGHTS = tuple(itertools.product((0.05, 0.1, 0.3, 1.0), (0.5, 1.0)))
"""Temperature of the softmax over squared distances, and its share in the weights."""

Weighing = tuple[float, float] | None


def routed(
    vectors: npt.NDArray[Any],
    distances: npt.NDArray[Any],
    *,
    temperature: float,
    share: float,
) -> npt.NDArray[Any]:
    """Weighs the slices of queries.

    Args:
        vectors: Their embeddings, `(num_queries, embedding_dim)`.
        distances: Squared, to the centroid of each learner, `(num_queries,
            num_learners)`.
        temperature: How sharp the choice is: weights are K · softmax(−distance / t).
        share: Of those weights; the rest are ones.
    """
    scaled = -distances / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    weights *= distances.shape[1] / weights.sum(axis=1, keepdims=True)
    weights = (1 - share) + share * weights
    width = vectors.shape[1] // distances.shape[1]
    return vectors * np.repeat(weights, width, axis=1)


def score_routes(run: Trained, num_learners: int) -> dict[str, dict[Weighing, float]]:
    """Returns MAP@R of each search by weighing; None weighs nothing."""
    division = run.division
    groups = division.membership if division.groups is None else division.groups
    features = unit_length(run.own.features)
    centroids = np.stack(
        [features[groups == each].mean(axis=0) for each in range(num_learners)]
    )
    found: dict[str, dict[Weighing, float]] = {}
    for name, (query, gallery) in run.searches.items():
        asked, there = (
            np.asarray(run.trainer.model.embed(each.features))
            for each in (query, gallery)
        )
        distances = _squared_distances(query, centroids)
        found[name] = {}
        for weighing in (None, *WEIGHTS):
            vectors = asked
            if weighing is not None:
                temperature, share = weighing
                vectors = routed(asked, distances, temperature=temperature, share=share)
            found[name][weighing] = evaluate_retrieval(
                vectors,
                query.images.labels,
                there,
                gallery.images.labels,
                leave_one_out=query is gallery,
            )["map@r"]
    return found


def _squared_distances(part: Part, centroids: npt.NDArray[Any]) -> npt.NDArray[Any]:
    features = unit_length(part.features)
    return np.stack(
        [np.square(features - each).sum(axis=1) for each in centroids], axis=1
    )


def main() -> None:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data_flags(parser)
    parser.add_argument("--loss", default="multi_similarity")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    where = settings_of_data(arguments)
    table = Table(title=f"{IDEA}, {arguments.loss}, {arguments.epochs} epochs")
    for heading in ("set", "temperature", "share", "held out", "gain", "test", "gain"):
        table.add_column(heading)
    for data in arguments.sets:
        material = read_material(
            where[data], arguments.backbone, cache_folder() / "features"
        )
        runs = []
        for seed in range(arguments.seeds):
            config = config_of(IDEA, arguments.loss, seed, arguments.epochs)
            run = train(config, material)
            runs.append(score_routes(run, config.division.num_clusters))
        for weighing in (None, *WEIGHTS):
            table.add_row(data, *_cells(runs, weighing))
    print_machine(table)


def _cells(
    runs: list[dict[str, dict[Weighing, float]]], weighing: Weighing
) -> list[str]:
    cells = ["–", "–"] if weighing is None else [f"{each:g}" for each in weighing]
    for name in ("val", "test"):
        scores: list[Mapping[Weighing, float]] = [run[name] for run in runs]
        cells.append(f"{np.mean([each[weighing] for each in scores]):.4f}")
        mean, low, high = interval([each[weighing] - each[None] for each in scores])
        cells.append(
            "–" if weighing is None else f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
        )
    return cells


if __name__ == "__main__":
    main()
