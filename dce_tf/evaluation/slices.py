"""What parts of an embedding score, against what they cost to store."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from dce_tf.base.errors import UsageError
from dce_tf.evaluation.evaluator import Evaluation
from dce_tf.retrieval import score_search


def score_slices(
    evaluation: Evaluation, num_learners: int, *, exclude: str = "none", seed: int = 0
) -> list[dict[str, Any]]:
    """Scores each learner alone, then the first two, three, … of them.

    By cosine, each part is scaled to unit length by itself.

    Args:
        evaluation: Of the whole embedding.
        num_learners: How many learners it is made of.
        exclude: What a query is not to find; see `score_search`.
        seed: Of a gallery that is drawn.

    Returns:
        One line per part: `learners` (from 1), `dim`, `bytes` of a float32 vector,
        `recall@1`, `map@r`.

    Raises:
        UsageError: If the embedding cannot be cut into this number of equal parts.
    """
    dim = evaluation.query.shape[1]
    if dim % num_learners:
        raise UsageError(
            f"--embedding_slices: an embedding of {dim} numbers cannot be cut into "
            f"--num_clusters={num_learners} equal parts."
        )
    width = dim // num_learners
    parts = [(first, first + 1) for first in range(num_learners)]
    parts += [(0, last) for last in range(2, num_learners + 1)]
    lines = []
    for first, last in parts:
        columns = slice(first * width, last * width)
        query = evaluation.query[:, columns]
        itself = evaluation.gallery is evaluation.query
        means = score_search(
            evaluation.search,
            query,
            query if itself else evaluation.gallery[:, columns],
            recall_at=(1,),
            map_at=(),
            exclude=exclude,
            seed=seed,
            metric=evaluation.metric,
        ).means
        lines.append(
            {
                "learners": list(range(first + 1, last + 1)),
                "dim": (last - first) * width,
                "bytes": 4 * (last - first) * width,
                "recall@1": means["recall@1"],
                "map@r": means["map@r"],
            }
        )
    return lines


def slices_table(lines: list[dict[str, Any]]) -> Table:
    """Returns what `score_slices` found as a table."""
    table = Table(title="Parts of the embedding")
    table.add_column("learners")
    for heading in ("dim", "bytes", "recall@1", "map@r"):
        table.add_column(heading, justify="right")
    for line in lines:
        first, last = line["learners"][0], line["learners"][-1]
        table.add_row(
            f"{first}" if first == last else f"{first} to {last}",
            str(line["dim"]),
            str(line["bytes"]),
            f"{line['recall@1']:.4f}",
            f"{line['map@r']:.4f}",
        )
    return table
