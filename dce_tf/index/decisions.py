"""From hits to an answer: how probable each is, which class it is, or that none is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from dce_tf.base.program import PROGRAM
from dce_tf.index.calibration import EVEN, Calibration
from dce_tf.index.collection import Collection, Hit

LEAST = 0.5
"""The probability an answer must have, where nobody asks for another."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a search found, and how sure that is.

    Attributes:
        hits: The best first.
        probabilities: Of each, that it is of the class searched for; None where nobody
            has calibrated the model.
        unknown: Whether none is probable enough; None where that cannot be told.
    """

    hits: Sequence[Hit]
    probabilities: Sequence[float] | None = None
    unknown: bool | None = None

    @classmethod
    def of(
        cls,
        hits: Sequence[Hit],
        calibration: Calibration | None,
        min_probability: float | None = None,
    ) -> Answer:
        """Judges hits.

        Args:
            hits: In the order in which they are to be shown.
            calibration: Of the collection, if it has one.
            min_probability: Less probable hits are left out; with None, none is.
        """
        if calibration is None:
            return cls(hits)
        known = calibration.probability([hit.score for hit in hits]).tolist()
        least = LEAST if min_probability is None else min_probability
        probable = [place for place, each in enumerate(known) if each >= least]
        kept = range(len(hits)) if min_probability is None else probable
        shown = [hits[place] for place in kept]
        return cls(shown, [known[place] for place in kept], not probable)

    def first(self, k: int) -> Answer:
        """Returns the same with the first hits alone; `unknown` is of all of them."""
        known = self.probabilities
        return Answer(self.hits[:k], known and known[:k], self.unknown)

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values, without what cannot be told."""
        hits = [dataclasses.asdict(hit) for hit in self.hits]
        if self.probabilities is None:
            return {"hits": hits}
        for hit, probability in zip(hits, self.probabilities, strict=True):
            hit["probability"] = probability
        return {"hits": hits, "unknown": self.unknown}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is to be said of two images.

    Attributes:
        score: Their cosine similarity, −1 to 1.
        probability: That they are of one class, if that is as probable as not before.
        same: Whether the score reaches the threshold.
        threshold: The cosine from which on two images are called the same.
        far: The share of pairs of two classes that it was chosen to accept.
    """

    score: float
    probability: float
    same: bool
    threshold: float
    far: float


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A class that a query may be of.

    Attributes:
        label: The class.
        probability: That the query is of it.
        score: Cosine similarity to its nearest image.
        votes: How many of its images are among the hits.
    """

    label: str
    probability: float
    score: float
    votes: int


def calibration_of(collection: Collection) -> Calibration:
    """Returns what the scores of a collection mean.

    Raises:
        ValueError: If nobody has calibrated its model, with the remedy.
    """
    found = collection.calibration
    if found is None:
        raise ValueError(
            f"{collection.name} has scores and no probabilities: its model was not "
            f"calibrated when the index was made. `{PROGRAM} calibrate RUN`, then "
            f"`{PROGRAM} index EMBEDDINGS --calibration=RUN --overwrite`."
        )
    return found


def compare(first: np.ndarray, second: np.ndarray, calibration: Calibration) -> Verdict:
    """Says whether two images are of one class.

    Args:
        first: Embedding of one, `(embedding_dim,)`, of any length above 0.
        second: Of the other.
        calibration: What their cosine means.

    Raises:
        ValueError: If the widths differ, or one has no direction.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"Expected two embeddings of one model; received {len(first)} and "
            f"{len(second)} numbers."
        )
    vectors = [each.astype(np.float64) for each in (first, second)]
    lengths = [float(np.linalg.norm(each)) for each in vectors]
    if not all(np.isfinite(lengths)) or min(lengths) == 0:
        raise ValueError("An embedding is all zero or not finite: it has no direction.")
    score = float(np.clip(vectors[0] @ vectors[1] / lengths[0] / lengths[1], -1, 1))
    even = dataclasses.replace(calibration, prior=EVEN)
    return Verdict(
        score,
        float(even.probability(score)),
        score >= calibration.threshold,
        calibration.threshold,
        calibration.far,
    )


def identify(hits: Sequence[Hit], calibration: Calibration) -> list[Candidate]:
    """Weighs the classes of hits against each other, and against none of them.

    By Bayes' rule: before, the query is of no class there as probably as of one, and of
    each of those alike. The nearest image of a class speaks for it: its images are too
    much alike for several to count.

    Args:
        hits: Of one query, as many as were looked at. One without a label may be of any
            class, and stands for one of its own.
        calibration: Of the collection.

    Returns:
        The classes, the most probable first. Their probabilities and that of none
        of them add up to at most 1.
    """
    best: dict[str, Hit] = {}
    votes: dict[str, int] = {}
    unnamed = []
    for hit in hits:
        if hit.label is None:
            unnamed.append(hit.score)
            continue
        votes[hit.label] = votes.get(hit.label, 0) + 1
        if hit.label not in best or hit.score > best[hit.label].score:
            best[hit.label] = hit
    scores = [hit.score for hit in best.values()]
    weights = calibration.ratios(scores) * calibration.prior
    others = float(calibration.ratios(unnamed).sum()) * calibration.prior
    total = float(weights.sum()) + others + EVEN
    found = [
        Candidate(label, float(weight / total), hit.score, votes[label])
        for (label, hit), weight in zip(best.items(), weights, strict=True)
    ]
    return sorted(found, key=lambda each: (-each.probability, each.label))
