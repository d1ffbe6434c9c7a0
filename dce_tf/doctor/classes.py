"""Classes that look like one, and classes that look like two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dce_tf.doctor.findings import Finding
from dce_tf.doctor.nearest import Neighbours, Vectors
from dce_tf.doctor.population import Population
from dce_tf.doctor.votes import weigh

ALIKE = 0.5
"""Two classes look like one if they mix at least so much; 1 is as much as one class."""
_LEAST_SHARE = 0.2  # Of a class's votes that are for the other, in both directions.
_AT_ONCE = 2**16

TWO = 3.5
"""A class looks like two if its parts differ by this many usual deviations."""
_FEWEST_IMAGES = 8  # Of a class that is cut in two.
_FEWEST_PEERS = 8
_PEERS = 40  # Classes of about its size, to which one is compared.
_SMALLEST_PART = 0.15
_ROUNDS = 10
_MOST_NUMBERS = 2**25  # Of the embeddings that are cut at once.


def find_alike(
    population: Population,
    neighbours: Neighbours,
    groups: npt.NDArray[np.int64],
) -> list[Finding]:
    """Finds pairs of classes whose images are each other's neighbours.

    Images of each must give a fifth of their votes to the other. How much the two mix
    is the geometric mean, both ways, of the votes for the other over those for the own
    class, each divided by how many images there are to vote for.

    Args:
        population: The images.
        neighbours: The nearest of each.
        groups: Which images are copies of each other; copies do not count.
    """
    sizes = population.sizes
    shares = _share_votes(population, neighbours, groups)
    own = shares.diagonal() / np.maximum(sizes - 1, 1)
    both = sparse.coo_matrix(sparse.triu(shares.minimum(shares.T), 1))
    enough = both.data >= _LEAST_SHARE
    found = []
    for one, other in zip(both.row[enough], both.col[enough], strict=True):
        across = shares[one, other] / sizes[other] * shares[other, one] / sizes[one]
        within = own[one] * own[other]
        mixing = float(np.sqrt(across / within)) if within else 1.0
        if mixing >= ALIKE:
            found.append(
                _alike(population, neighbours, int(one), int(other), min(mixing, 1.0))
            )
    return found


def _share_votes(
    population: Population,
    neighbours: Neighbours,
    groups: npt.NDArray[np.int64],
) -> sparse.csr_matrix:
    """Returns how the votes on each class's images divide among classes."""
    labels, number = population.labels, len(population.class_names)
    total = sparse.csr_matrix((number, number), dtype=np.float64)
    for start in range(0, len(labels), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        weights = weigh(neighbours, labels, groups, part)
        weights[labels[part] < 0] = 0
        rows, places = np.nonzero(weights)
        pairs = labels[part][rows], labels[neighbours.rows[part][rows, places]]
        votes = weights[rows, places].astype(np.float64)
        total = total + sparse.coo_matrix((votes, pairs), (number, number)).tocsr()
    return sparse.diags(1 / np.maximum(population.sizes, 1)).tocsr() @ total


def _alike(
    population: Population, neighbours: Neighbours, one: int, other: int, score: float
) -> Finding:
    """Shows images of the smaller class, each with the nearest of the larger."""
    sizes = population.sizes
    small, large = (one, other) if sizes[one] <= sizes[other] else (other, one)
    rows = np.flatnonzero(population.labels == small)
    is_large = population.labels[neighbours.rows[rows]] == large
    there = is_large.any(axis=1)
    rows, is_large = rows[there], is_large[there]
    nearest = neighbours.rows[rows, is_large.argmax(axis=1)]
    names = population.class_names
    return Finding(
        "classes_alike",
        tuple(rows.tolist()),
        tuple(nearest.tolist()),
        score,
        f"{names[small]} ({sizes[small]} images) and {names[large]} "
        f"({sizes[large]} images)",
        f"relabel={names[large]}",
    )


def find_twofold(population: Population, vectors: Vectors) -> list[Finding]:
    """Finds classes that fall into two parts.

    Each class is cut in two by 2-means. The share of its spread that the cut explains
    is compared with that of the classes of about its size: few images are cut in two
    more easily than many.

    Args:
        population: The images.
        vectors: Their embeddings, of unit length, float32 `(num_images, dim)`.
    """
    labels = np.flatnonzero(population.sizes >= _FEWEST_IMAGES)
    if len(labels) < _FEWEST_PEERS:
        return []
    order = np.argsort(population.labels, kind="stable")
    order = order[np.isin(population.labels[order], labels)]
    sizes = population.sizes[labels]
    starts = np.cumsum(sizes) - sizes
    explained = np.empty(len(labels))
    second = np.empty(len(order), bool)
    first = 0
    most = max(1, _MOST_NUMBERS // vectors.shape[1])
    while first < len(labels):
        past = max(first + 1, int(np.searchsorted(starts, starts[first] + most)))
        part = slice(starts[first], starts[past - 1] + sizes[past - 1])
        explained[first:past], second[part] = cut_in_two(
            vectors[order[part]], sizes[first:past]
        )
        first = past
    shares = np.add.reduceat(second, starts, dtype=np.float64) / sizes
    scores = _against_peers(explained, sizes)
    smaller = np.minimum(shares, 1 - shares)
    found = []
    for place in np.flatnonzero((scores >= TWO) & (smaller >= _SMALLEST_PART)):
        own = slice(starts[place], starts[place] + sizes[place])
        found.append(
            _twofold(population, vectors, order[own], second[own], scores[place])
        )
    return found


def cut_in_two(
    vectors: Vectors, sizes: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Cuts many classes in two at once, each by 2-means.

    It starts from the image farthest from the middle of its class, and the one farthest
    from that.

    Args:
        vectors: float32 `(num_images, dim)`, class after class.
        sizes: Images of each class, int64 `(num_classes,)`.

    Returns:
        The share of each class's squared spread that the cut explains, 0 to 1, and
        which images are in its second part, bool `(num_images,)`.
    """
    starts = np.cumsum(sizes) - sizes
    of_class = np.repeat(np.arange(len(sizes)), sizes)

    def means(counted: npt.NDArray[np.bool_]) -> Vectors:
        sums = np.add.reduceat(vectors * counted[:, None], starts, axis=0)
        numbers = np.add.reduceat(counted, starts, dtype=np.float32)
        return np.asarray(sums / np.maximum(numbers, 1)[:, None], np.float32)

    def distances(centres: Vectors) -> Vectors:
        gaps = vectors - centres[of_class]
        return np.einsum("ij,ij->i", gaps, gaps)

    def farthest(far: Vectors) -> Vectors:
        # Of each class the last in order of distance.
        order = np.lexsort((far, of_class))
        return vectors[order[starts + sizes - 1]]

    everything = distances(means(np.ones(len(vectors), bool)))
    first = farthest(everything)
    second = farthest(distances(first))
    is_second = np.zeros(len(vectors), bool)
    nearest = everything
    for _ in range(_ROUNDS):
        to_first, to_second = distances(first), distances(second)
        moved, is_second = is_second, to_second < to_first
        nearest = np.minimum(to_first, to_second)
        if (moved == is_second).all():
            break
        first, second = means(~is_second), means(is_second)
    total = np.add.reduceat(everything, starts, dtype=np.float64)
    left = np.add.reduceat(nearest, starts, dtype=np.float64)
    return 1 - left / np.maximum(total, 1e-12), is_second


def _against_peers(
    values: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Returns how many usual deviations each value is above its peers' median."""
    order = np.argsort(sizes, kind="stable")
    scores = np.empty(len(values))
    width = min(_PEERS, len(values))
    for place, label in enumerate(order):
        start = min(max(0, place - width // 2), len(values) - width)
        peers = values[order[start : start + width]]
        middle = np.median(peers)
        usual = 1.4826 * np.median(np.abs(peers - middle))
        scores[label] = (values[label] - middle) / max(usual, 0.01)
    return scores


def _twofold(
    population: Population,
    vectors: Vectors,
    rows: npt.NDArray[np.int64],
    second: npt.NDArray[np.bool_],
    score: float,
) -> Finding:
    """Shows the images of the smaller part, against the middle one of the other."""
    if second.sum() * 2 > len(second):
        second = ~second
    small, large = rows[second], rows[~second]
    middles = [vectors[part].mean(axis=0) for part in (small, large)]
    typical = small[np.argsort(-(vectors[small] @ middles[0]))]
    other = large[int(np.argmax(vectors[large] @ middles[1]))]
    return Finding(
        "class_of_two",
        tuple(typical.tolist()),
        (int(other),),
        float(score),
        f"{population.name(int(rows[0]))}: {len(small)} and {len(large)} images",
    )
