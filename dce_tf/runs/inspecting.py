"""A closer look at one model: where it fails, what its parts see, what it costs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dce_tf.clustering import Division
from dce_tf.datasets import Images
from dce_tf.evaluation.evaluator import Evaluation, Evaluator
from dce_tf.retrieval import score_search
from dce_tf.retrieval.drift import FEWEST, Drift, measure_drift
from dce_tf.retrieval.heat import MatchHeat
from dce_tf.retrieval.identification import NearestPairs, find_nearest_pairs

if TYPE_CHECKING:
    from dce_tf.network.model import EmbeddingModel

_SEEN_PER_CLUSTER = 200  # Images that the nearest ones are chosen from.
_SHORTEST = 8


@dataclasses.dataclass(frozen=True)
class Failure:
    """A query whose nearest image is of another class.

    Attributes:
        query: Its image file.
        query_class: Its class.
        wrong: The image file that is nearest.
        wrong_class: The class of that.
        right: The image file of its class that is nearest.
        wrong_score: Cosine similarity to the wrong one.
        right_score: To the right one.
    """

    query: str
    query_class: str
    wrong: str
    wrong_class: str
    right: str
    wrong_score: float
    right_score: float


def find_failures(evaluation: Evaluation, exclude: str, seed: int) -> list[Failure]:
    """Returns the queries that are answered wrongly, the most confident first.

    Args:
        evaluation: A test, embedded.
        exclude: What a query is not to find: see `retrieval.score_search`.
        seed: Decides the galleries of a protocol that draws them.

    Raises:
        ValueError: If there is one class, or no query has its class in the gallery.
    """
    search = evaluation.search
    pairs = find_nearest_pairs(
        search, evaluation.query, evaluation.gallery, exclude=exclude, seed=seed
    )
    wrong = np.flatnonzero(pairs.other > pairs.own)
    order = wrong[np.argsort(-pairs.other[wrong], kind="stable")]
    return [_failure(search.query, search.gallery, pairs, place) for place in order]


def _failure(
    query: Images, gallery: Images, pairs: NearestPairs, place: np.int64
) -> Failure:
    row, right, wrong = (
        int(rows[place]) for rows in (pairs.rows, pairs.own_rows, pairs.other_rows)
    )
    return Failure(
        query.paths[row],
        query.class_names[query.labels[row]],
        gallery.paths[wrong],
        gallery.class_names[gallery.labels[wrong]],
        gallery.paths[right],
        float(pairs.other[place]),
        float(pairs.own[place]),
    )


def explain_failures(
    model: EmbeddingModel, image_size: int, failures: Sequence[Failure]
) -> MatchHeat | None:
    """Finds which places of query and wrong image spoke for each failure.

    Args:
        model: What embedded them.
        image_size: Side of its input in pixels.
        failures: At least one.

    Returns:
        The heat-maps, or None where the model has none: see `network.shares`.
    """
    # A page without images is written without TensorFlow.
    from dce_tf.network.matches import explain_match
    from dce_tf.network.shares import why_not_split
    from dce_tf.training.pipelines import EvaluationPipelines

    if why_not_split(model) is not None:
        return None
    pipelines = EvaluationPipelines(image_size, batch_size=len(failures))
    pairs = zip(*((each.query, each.wrong) for each in failures), strict=True)
    images, others = (next(iter(pipelines.build(paths))) for paths in pairs)
    return explain_match(model, images, others)


def confusions(failures: Sequence[Failure]) -> list[tuple[Failure, int]]:
    """Returns the pairs of classes that are confused, the most frequent first.

    Returns:
        Of each pair the most confident failure, and how many there are, either way.
    """
    first: dict[frozenset[str], Failure] = {}
    counts: Counter[frozenset[str]] = Counter()
    for failure in failures:
        pair = frozenset((failure.query_class, failure.wrong_class))
        first.setdefault(pair, failure)
        counts[pair] += 1
    return [(first[pair], count) for pair, count in counts.most_common()]


def score_sizes(
    evaluation: Evaluation, exclude: str, seed: int
) -> list[dict[str, Any]]:
    """Scores shorter and coarser forms of an embedding, against their bytes.

    Args:
        evaluation: A test, embedded.
        exclude: See `find_failures`.
        seed: See `find_failures`.

    Returns:
        A line for each form: `kind` (`float32`, `int8`: 127 steps either way of the
        largest value of the gallery; `binary`: the signs), `dim`, `bytes`, `recall@1`,
        `map@r`. A shorter one is the first numbers, scaled to unit length again.
    """
    dim = evaluation.query.shape[1]
    widths = [dim]
    while widths[-1] % 2 == 0 and widths[-1] // 2 >= _SHORTEST:
        widths.append(widths[-1] // 2)
    forms = [("float32", width, 4 * width) for width in widths]
    forms += [("int8", width, width) for width in widths[:2]]
    forms += [("binary", dim, dim // 8)] if dim % 8 == 0 else []
    lines = []
    for kind, width, size in forms:
        query, gallery = (
            _coarse(each[:, :width], kind, evaluation.gallery[:, :width])
            for each in (evaluation.query, evaluation.gallery)
        )
        if evaluation.search.leave_one_out:
            query = gallery
        means = score_search(
            evaluation.search,
            query,
            gallery,
            recall_at=(1,),
            map_at=(),
            exclude=exclude,
            seed=seed,
        ).means
        scores = {name: means[name] for name in ("recall@1", "map@r")}
        lines.append({"kind": kind, "dim": width, "bytes": size, **scores})
    return lines


def _coarse(vectors: npt.NDArray[Any], kind: str, gallery: npt.NDArray[Any]) -> Any:
    if kind == "binary":
        return np.where(vectors > 0, np.float32(1), np.float32(-1))
    if kind == "int8":
        step = np.abs(gallery).max() / 127
        return np.clip(np.rint(vectors / step), -127, 127).astype(np.float32)
    return vectors


def drift_of(evaluation: Evaluation) -> Drift | None:
    """Returns how far the queries of a test lie from its gallery.

    None where one set is searched within itself, in whole or in part, or either is too
    small to say.
    """
    sizes = (len(evaluation.query), len(evaluation.gallery))
    within = evaluation.search.leave_one_out or evaluation.search.overlaps
    if within or min(sizes) < FEWEST:
        return None
    return measure_drift(evaluation.query, evaluation.gallery)


def typical_images(
    division: Division, train: Images, evaluator: Evaluator, count: int
) -> list[list[str]]:
    """Returns for each cluster those of its images that its learner sees nearest.

    Args:
        division: The last one of the run.
        train: The images that were divided.
        evaluator: Embeds images.
        count: How many of each cluster.

    Returns:
        Image files by cluster: of up to 200 of its images, drawn at random, those that
        lie nearest to their mean, in the learner's slice of the embedding.
    """
    rng = np.random.default_rng(0)
    drawn = []
    for cluster in range(division.num_clusters):
        own = np.flatnonzero(division.assignment == cluster)
        most = min(len(own), _SEEN_PER_CLUSTER)
        drawn.append(np.sort(rng.choice(own, most, replace=False)))
    paths = [train.paths[row] for row in np.concatenate(drawn)]
    embeddings = evaluator.embed(paths, "what each learner sees")
    typical, start = [], 0
    for cluster, rows in enumerate(drawn):
        own_paths = paths[start : start + len(rows)]
        own_part = _slice(embeddings[start : start + len(rows)], cluster, len(drawn))
        start += len(rows)
        likeness = own_part @ own_part.mean(axis=0) if len(rows) else np.empty(0)
        order = np.argsort(-likeness, kind="stable")[:count]
        typical.append([own_paths[place] for place in order])
    return typical


def _slice(embeddings: npt.NDArray[Any], learner: int, num_learners: int) -> Any:
    """Returns the learner's part of unit length; all of it where it cannot be cut."""
    width, rest = divmod(embeddings.shape[1], num_learners)
    if not rest:
        embeddings = embeddings[:, learner * width : (learner + 1) * width]
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(lengths, 1e-12)
