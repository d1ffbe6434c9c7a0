"""Photographs in a row that hardly differ."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from dce_tf.doctor.findings import Finding
from dce_tf.doctor.nearest import Vectors, pair_cosines
from dce_tf.doctor.pictures import Pictures
from dce_tf.doctor.population import Population

FEWEST = 3
"""This many photographs in a row are a burst."""
_COSINE, _BITS = 0.85, 16  # From one to the next: least cosine, most bits of the hash.


def find_bursts(
    population: Population,
    vectors: Vectors,
    pictures: Pictures | None,
    groups: npt.NDArray[np.int64],
) -> list[Finding]:
    """Finds runs of images that hardly differ from one to the next.

    In a row are files of one folder and class in the order of their names, as cameras
    number them. A copy of the image before it is no new photograph.

    Args:
        population: The images.
        vectors: Their embeddings, of unit length, float32 `(num_images, dim)`.
        pictures: What the files say, or None.
        groups: Which images are copies of each other.
    """
    folders: dict[str, int] = {}
    places = np.array(
        [
            folders.setdefault(os.path.split(path)[0], len(folders))
            for path in population.paths
        ]
    )
    order = np.array(
        sorted(range(len(population)), key=lambda row: _by_name(population.paths[row]))
    )
    order = order[np.argsort(population.labels[order], kind="stable")]
    one, other = order[:-1], order[1:]
    alike = (places[one] == places[other]) & (
        population.labels[one] == population.labels[other]
    )
    alike &= pair_cosines(vectors, one, other) >= _COSINE
    if pictures is not None:
        differing = np.bitwise_count(pictures.hashes[one] ^ pictures.hashes[other])
        alike &= differing <= _BITS
    starts = np.flatnonzero(np.concatenate([[True], ~alike]))
    lengths = np.diff(np.append(starts, len(order)))
    found = []
    for place in np.flatnonzero(lengths >= FEWEST):
        run = order[starts[place] : starts[place] + lengths[place]]
        distinct = len(set(groups[run].tolist()))
        if distinct >= FEWEST:
            text = f"{distinct} photographs in a row"
            first, *rest = run.tolist()
            found.append(Finding("burst", tuple(rest), (first,), distinct, text))
    return found


def _by_name(path: str) -> tuple[str, int, str]:
    """Sorts 10 behind 9."""
    folder, name = os.path.split(path)
    return folder, len(name), name
