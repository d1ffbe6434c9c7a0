"""A second look at what was found in a collection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.index.collection import Collection, Hit
from dce_tf.retrieval.places import Places
from dce_tf.retrieval.rerankers.local import Local


def check_places(collection: Collection, digest: str | None) -> None:
    """Checks that places of a query and of what is found can be compared.

    Args:
        collection: What is searched.
        digest: Which codes the model gives; None if it gives none.

    Raises:
        UsageError: If they cannot.
    """
    stored = collection.describe()["places"]
    remedy = (
        f"`{PROGRAM} export RUN --places`, then `embed` and `index` again, into a "
        "directory"
    )
    if stored is None:
        raise UsageError(
            f"The collection {collection.name} has no places for a second look. Use "
            f"{remedy}."
        )
    if digest is None:
        raise UsageError(f"The model gives no places for a second look. Use {remedy}.")
    if stored != digest:
        raise UsageError(
            f"The collection {collection.name} has places of another export "
            f"({stored[:12]}…) than the model ({digest[:12]}…), and they cannot be "
            f"compared. Use {remedy}."
        )


def look_again(
    look: Local, collection: Collection, query: Places, hits: Sequence[Hit], k: int
) -> list[Hit]:
    """Returns the best hits of a query in their new order.

    Their scores stay the cosines, so that probabilities mean what they did. Hits
    without places, such as those stored as bare vectors, come last.

    Args:
        look: How to look.
        collection: Where they were found.
        query: Its places, int8 `(places, numbers)`.
        hits: What was found, `look.top` of them or more.
        k: How many are wanted.
    """
    first = hits[: look.top]
    codes = collection.places([hit.id for hit in first])
    known = [
        (hit, each) for hit, each in zip(first, codes, strict=True) if each is not None
    ]
    others = [hit for hit, each in zip(first, codes, strict=True) if each is None]
    if not known:
        return list(hits[:k])
    cosines = np.array([hit.score for hit, _ in known], np.float32)
    scores = look.scores(cosines, query, np.stack([each for _, each in known]))
    again = [known[place][0] for place in np.argsort(-scores, kind="stable")]
    return [*again, *others, *hits[look.top :]][:k]
