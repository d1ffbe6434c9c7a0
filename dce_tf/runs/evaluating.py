"""What scores embeddings as the settings say, whoever makes them."""

from __future__ import annotations

from dce_tf.config import EvaluationSettings, RunSettings
from dce_tf.datasets import Splits
from dce_tf.evaluation.evaluator import Embedder, Evaluator
from dce_tf.reports.display import Display


def build_evaluator(
    embedder: Embedder,
    splits: Splits,
    evaluation: EvaluationSettings,
    run: RunSettings,
    display: Display,
    metric: str = "cosine",
) -> Evaluator:
    """Builds what scores embeddings as the settings say."""
    return Evaluator(
        embedder,
        splits.recall_at,
        map_at=splits.map_at,
        exclude=evaluation.exclude,
        metric=metric,
        nmi_runs=evaluation.nmi_runs,
        backend=run.backend,
        seed=run.random_seed,
        display=display,
    )
