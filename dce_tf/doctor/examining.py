"""The whole examination: from embeddings and files to findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from dce_tf.datasets import Splits
from dce_tf.doctor.bursts import find_bursts
from dce_tf.doctor.classes import find_alike, find_twofold
from dce_tf.doctor.duplicates import Nearness, find_copies, find_duplicates
from dce_tf.doctor.findings import KINDS, Finding
from dce_tf.doctor.leaks import score_leaks
from dce_tf.doctor.nearest import Vectors, find_nearest
from dce_tf.doctor.odd import find_odd_pictures, find_outliers
from dce_tf.doctor.pictures import Pictures
from dce_tf.doctor.population import Population
from dce_tf.doctor.suspects import find_suspects
from dce_tf.doctor.votes import count_votes
from dce_tf.retrieval.vectors import comparable


@dataclasses.dataclass(frozen=True, eq=False)
class Examination:
    """What was found.

    Attributes:
        population: The images.
        findings: Most urgent kind first, within a kind the highest score first.
        leak_scores: See `score_leaks`.
        notes: What was not looked for, and why, a sentence each.
    """

    population: Population
    findings: tuple[Finding, ...]
    leak_scores: dict[str, Any]
    notes: tuple[str, ...]

    def of_kind(self, kind: str) -> list[Finding]:
        """Returns the findings of one kind."""
        return [each for each in self.findings if each.kind == kind]


def examine(
    population: Population,
    embeddings: Vectors,
    pictures: Pictures | None,
    splits: Splits | None = None,
    *,
    nearness: Nearness | None = None,
    exclude: str = "none",
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Examination:
    """Looks for everything that images can be wrong in.

    Args:
        population: The images.
        embeddings: Of each, real numbers `(num_images, dim)`.
        pictures: What the files say; None where there are none.
        splits: The data set, to score its test with and without leaks; or None.
        nearness: From where on two pictures are called the same.
        exclude: What a query is not to find: see `score_search`.
        seed: Decides what is drawn.
        on_progress: Told how many images have their neighbours.

    Raises:
        ValueError: If there are fewer than two images, or as many embeddings as images
            there are not.
    """
    if len(embeddings) != len(population):
        raise ValueError(
            f"Found {len(embeddings)} embeddings and {len(population)} images; "
            "expected one for each, in the same order. Embed the images again."
        )
    if len(population) < 2:
        raise ValueError(
            f"Found {len(population)} images; expected two or more, as each is "
            "compared with others."
        )
    nearness = nearness or Nearness()
    vectors = comparable(embeddings, "cosine", "images")
    neighbours = find_nearest(vectors, on_progress=on_progress)
    copies = find_copies(vectors, neighbours, pictures, nearness)
    groups = copies.groups
    found = find_duplicates(population, copies, pictures)
    found += find_outliers(neighbours)
    found += find_bursts(population, vectors, pictures, groups)
    notes = []
    if np.count_nonzero(population.sizes) > 1:
        found += find_suspects(population, count_votes(population, neighbours, groups))
        found += find_alike(population, neighbours, groups)
        found += find_twofold(population, vectors)
    else:
        notes.append(_NO_CLASSES.format(np.count_nonzero(population.sizes)))
    if pictures is None:
        notes.append(_NO_PICTURES)
    else:
        found += find_odd_pictures(pictures)
    scores = {}
    if splits is not None and splits.tests:
        scores = score_leaks(
            splits, population, vectors, copies, exclude=exclude, seed=seed
        )
    else:
        notes.append(_NO_TEST)
    urgency = {kind: place for place, kind in enumerate(KINDS)}
    found.sort(key=lambda each: (urgency[each.kind], -each.score, each.rows))
    return Examination(population, tuple(found), scores, tuple(notes))


_NO_CLASSES = (
    "There are {} classes, so that labels and classes were not examined: that takes "
    "two or more. Name them in the data set, or in a column 'label' of --images."
)
_NO_PICTURES = (
    "No image files were read: copies were looked for by embedding alone, and nothing "
    "was looked for that only files show. Give the --data_dir or --images where they "
    "lie."
)
_NO_TEST = (
    "There is no test to score with and without leaks. Give a --dataset with a test "
    "split."
)
