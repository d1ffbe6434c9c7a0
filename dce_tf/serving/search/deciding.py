"""Answers that say how probable they are, and that nothing was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dce_tf.index import Collection, Hit
from dce_tf.index.calibration import Calibration
from dce_tf.index.collection import Places
from dce_tf.index.decisions import (
    LEAST,
    Answer,
    calibration_of,
    compare,
    identify,
)
from dce_tf.serving.search.actions import as_json, nearest
from dce_tf.serving.search.requests import Query, Vector


@dataclasses.dataclass(frozen=True)
class Decision:
    """What a search is answered with.

    Attributes:
        answer: As the client gets it.
        probability: That the nearest hit is of the query's class; None where nobody
            has calibrated the collection.
        unknown: Whether nothing is probable enough; None where that is not known.
    """

    answer: dict[str, Any]
    probability: float | None
    unknown: bool | None


def find(
    collection: Collection,
    vector: Vector,
    query: Query,
    places: Places | None = None,
) -> Decision:
    """Searches, and says of each hit how probable it is, where that is known.

    Args:
        collection: Where.
        vector: What to search for.
        query: How. With `min_probability`, less probable hits are left out.
        places: Of the image that is searched for, where they decide, too.

    Returns:
        With `hits`; of a calibrated collection each has `probability`, and `unknown`
        says whether none is probable enough.

    Raises:
        ValueError: If a probability is asked for that nobody knows.
    """
    asked = query.min_probability
    calibration = (
        collection.calibration if asked is None else calibration_of(collection)
    )
    hits = nearest(collection, vector, query, places)
    answer = Answer.of(hits, calibration, asked).first(query.k)
    found = as_json(collection, answer.hits)
    if answer.probabilities is None:
        return Decision({"hits": found}, None, None)
    for hit, probability in zip(found, answer.probabilities, strict=True):
        hit["probability"] = probability
    answered = {"hits": found, "unknown": answer.unknown}
    return Decision(answered, _of_nearest(hits, calibration), answer.unknown)


def _of_nearest(hits: Sequence[Hit], calibration: Calibration | None) -> float | None:
    if calibration is None:
        return None
    if not hits:
        return 0.0
    return float(calibration.probability(max(hit.score for hit in hits)))


def name_class(collection: Collection, vector: Vector, query: Query) -> Decision:
    """Says of which class a query is: see `index.decisions.identify`.

    Returns:
        With `label` and `probability` of the most probable class, both null where none
        is probable enough, which `unknown` says; `classes`, the most probable first.

    Raises:
        ValueError: If the collection is not calibrated.
    """
    calibration = calibration_of(collection)
    hits = nearest(collection, vector, query)
    classes = identify(hits, calibration)
    least = LEAST if query.min_probability is None else query.min_probability
    unknown = not classes or classes[0].probability < least
    answered = {
        "label": None if unknown else classes[0].label,
        "probability": None if unknown else classes[0].probability,
        "unknown": unknown,
        "classes": [dataclasses.asdict(each) for each in classes],
    }
    return Decision(answered, _of_nearest(hits, calibration), unknown)


def verify(collection: Collection, first: Vector, second: Vector) -> dict[str, Any]:
    """Says whether two images are of one class: see `index.decisions.compare`.

    Raises:
        ValueError: If the collection is not calibrated.
    """
    return dataclasses.asdict(compare(first, second, calibration_of(collection)))
