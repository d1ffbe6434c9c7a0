"""Classes as points: the mean of the images of each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dce_tf.clustering.points import Points, cluster_means, unit_length

Features = npt.NDArray[np.float32]


def points_to_cluster(
    points: Points, labels: npt.NDArray[np.int32], by: str
) -> tuple[Points, npt.NDArray[np.int64]]:
    """Returns what k-means is to see, and which of it stands for each image.

    Args:
        points: The images.
        labels: Class of each, int32 `(num_images,)`.
        by: `"images"` or `"classes"`.

    Raises:
        ValueError: If `by` is neither.
    """
    if by == "images":
        return points, np.arange(len(labels))
    if by != "classes":
        raise ValueError(f'by must be "images" or "classes"; received {by!r}.')
    present, point_of = np.unique(labels, return_inverse=True)
    means = cluster_means(points, point_of.astype(np.int32), len(present))
    return Points(means, unit_length=True), point_of


def class_means(features: Features, labels: npt.NDArray[np.int32]) -> Features:
    """Returns the mean of the images of each class, at unit length.

    Args:
        features: float32 `(num_images, dim)`; each counts at unit length.
        labels: Class of each image, int32 `(num_images,)`; a class without images has
            a mean of zeros.

    Returns:
        float32 `(num_classes, dim)`.
    """
    present, point_of = np.unique(labels, return_inverse=True)
    points = Points(features, unit_length=True)
    own = cluster_means(points, point_of.astype(np.int32), len(present))
    means = np.zeros((int(labels.max()) + 1, features.shape[1]), np.float32)
    means[present] = unit_length(own)
    return means
