"""Dividing the training images: k-means, matching, lone images."""

from dce_tf.clustering.division import Division, divide, whole_division
from dce_tf.clustering.kmeans import KMeansResult, fit_kmeans
from dce_tf.clustering.matching import Matching, match_clusters
from dce_tf.clustering.nmi import normalized_mutual_information

__all__ = [
    "Division",
    "KMeansResult",
    "Matching",
    "divide",
    "fit_kmeans",
    "match_clusters",
    "normalized_mutual_information",
    "whole_division",
]
