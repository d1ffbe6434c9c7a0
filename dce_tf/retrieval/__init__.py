"""Measuring retrieval: ranks, the metrics made from them, and neighbours to look at."""

from dce_tf.retrieval.euclidean import EuclideanScorer
from dce_tf.retrieval.grouping import score_grouping
from dce_tf.retrieval.intervals import class_intervals
from dce_tf.retrieval.metrics import evaluate_retrieval, mean_scores, score_queries
from dce_tf.retrieval.neighbours import find_neighbours
from dce_tf.retrieval.protocols import SearchScores, score_search
from dce_tf.retrieval.ranking import Scorer

__all__ = [
    "EuclideanScorer",
    "Scorer",
    "SearchScores",
    "class_intervals",
    "evaluate_retrieval",
    "find_neighbours",
    "mean_scores",
    "score_grouping",
    "score_queries",
    "score_search",
]
