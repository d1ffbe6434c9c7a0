"""A second look at what was found in a collection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.index.collection import Collection, Hit, Places
from dce_tf.retrieval.rerankers.local import Local


def check_codes(stored: str | None, given: str | None) -> None:
    """Checks that places of a query and of what is found can be compared.

    Args:
        stored: Which codes of places the collection has.
        given: Which the model gives.

    Raises:
        UsageError: If they are not the same.
    """
    if stored is None:
        problem = "The collection has no places for a second look"
    elif given is None:
        problem = "The model gives no places for a second look"
    elif stored != given:
        problem = (
            f"The collection has places of another export ({stored[:12]}…) than the "
            f"model ({given[:12]}…), and they cannot be compared"
        )
    else:
        return
    raise UsageError(
        f"{problem}. Use `{PROGRAM} export RUN --places`, then `embed` and `index` "
        "again, into a directory."
    )


def look_again(
    look: Local, collection: Collection, query: Places, hits: Sequence[Hit]
) -> list[Hit]:
    """Returns hits in their new order.

    Their scores stay the cosines, so that probabilities mean what they did. Of the
    first ones, those without places, such as records stored as bare vectors, come last.

    Args:
        look: How to look.
        collection: Where they were found.
        query: Its places, int8 `(places, numbers)`.
        hits: What was found, the nearest first.
    """
    first = hits[: look.top]
    codes = collection.places([hit.id for hit in first])
    known = [
        (hit, each) for hit, each in zip(first, codes, strict=True) if each is not None
    ]
    others = [hit for hit, each in zip(first, codes, strict=True) if each is None]
    if not known:
        return list(hits)
    cosines = np.array([hit.score for hit, _ in known], np.float32)
    scores = look.scores(cosines, query, np.stack([each for _, each in known]))
    again = [known[place][0] for place in np.argsort(-scores, kind="stable")]
    return [*again, *others, *hits[look.top :]]
