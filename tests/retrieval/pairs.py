"""Pairs of images whose cosines lie on the grid exactly, and loops over them."""

from collections.abc import Callable

import numpy as np

from dce_tf.datasets import Images, Search

NAMES = tuple("abcdefg")


def exact_vectors(seed: int, count: int) -> np.ndarray:
    """Returns unit vectors whose cosines are multiples of 1/8."""
    signs = np.random.default_rng(seed).choice((-0.25, 0.25), (count, 16))
    return signs.astype(np.float32)


def random_labels(seed: int, count: int, num_classes: int = 7) -> np.ndarray:
    rng = np.random.default_rng([seed, 1])
    return rng.integers(num_classes, size=count).astype(np.int32)


def as_images(labels: np.ndarray, groups: np.ndarray | None = None) -> Images:
    return Images(tuple(f"{i}.jpg" for i in range(len(labels))), labels, NAMES, groups)


def one_set(seed: int, count: int) -> tuple[Search, np.ndarray]:
    images = as_images(random_labels(seed, count))
    return Search("test", images, images), exact_vectors(seed, count)


def two_sets(
    seed: int, sizes: tuple[int, int]
) -> tuple[Search, np.ndarray, np.ndarray]:
    """Returns queries of all classes in a gallery that lacks one of them."""
    query = as_images(random_labels(seed, sizes[0]))
    gallery = as_images(random_labels(seed + 1, sizes[1], 6))
    vectors = exact_vectors(seed, sizes[0]), exact_vectors(seed + 1, sizes[1])
    return Search("test", query, gallery), *vectors


def by_loop(
    search: Search,
    query: np.ndarray,
    gallery: np.ndarray,
    hidden: Callable[[int, int], bool] | None = None,
    *,
    once: bool = True,
) -> list[tuple[int, bool, float]]:
    """Returns the class of the query, whether it is a match and the cosine, by pair."""
    pairs = []
    for i in range(len(query)):
        for j in range(len(gallery)):
            if search.leave_one_out and (i == j or (once and j < i)):
                continue
            if hidden is not None and hidden(i, j):
                continue
            label = int(search.query.labels[i])
            same = label == search.gallery.labels[j]
            pairs.append((label, bool(same), float(query[i] @ gallery[j])))
    return pairs
