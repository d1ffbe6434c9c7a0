"""Measuring retrieval: neighbours, and the metrics made from them."""

from dce_tf.retrieval.metrics import clustering_nmi, evaluate_retrieval
from dce_tf.retrieval.neighbours import search_blocks

__all__ = ["clustering_nmi", "evaluate_retrieval", "search_blocks"]
