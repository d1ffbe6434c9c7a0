"""Dividing the training images: k-means, matching, lone images."""

from dce_tf.clustering.agreement import (
    adjusted_mutual_information,
    normalized_mutual_information,
    pairwise_f1,
)
from dce_tf.clustering.classes import class_means
from dce_tf.clustering.division import Division, divide, split, whole_division
from dce_tf.clustering.kmeans import KMeansResult, fit_kmeans
from dce_tf.clustering.matching import Matching, match_clusters

__all__ = [
    "Division",
    "KMeansResult",
    "Matching",
    "adjusted_mutual_information",
    "class_means",
    "divide",
    "fit_kmeans",
    "match_clusters",
    "normalized_mutual_information",
    "pairwise_f1",
    "split",
    "whole_division",
]
