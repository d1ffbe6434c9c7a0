"""Why a search found what it found: the heat-maps of its matches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dce_tf.export.served import ServedModel
from dce_tf.index import Collection, Hit
from dce_tf.index.pictures import TO_EMBED
from dce_tf.reports.hits_sheet import SHOWN
from dce_tf.reports.match_sheet import ExplainedHit
from dce_tf.retrieval.heat import heat_maps

EXPLAINED = "explained.png"


def explain_hits(
    model: ServedModel,
    collection: Collection,
    paths: Sequence[str],
    found: Sequence[Sequence[Hit]],
) -> list[list[ExplainedHit]]:
    """Finds which places of images, and of what they found, speak for the matches.

    Args:
        model: That of the collection.
        collection: What was searched.
        paths: The images that were searched for.
        found: What each found; of more than a sheet shows the rest is left out.

    Raises:
        UsageError: If the embeddings of the model cannot be split by place.
    """
    return [
        _explain(model, collection, Path(path), hits[:SHOWN])
        for path, hits in zip(paths, found, strict=True)
    ]


def _explain(
    model: ServedModel, collection: Collection, path: Path, hits: Sequence[Hit]
) -> list[ExplainedHit]:
    (shares,) = model.shares([path.read_bytes()])
    query = shares.sum((0, 1))
    explained = []
    for hit, record in zip(hits, collection.get([h.id for h in hits]), strict=True):
        if record is None:  # Removed meanwhile.
            continue
        jpeg = collection.thumbnail(hit.id, side=TO_EMBED)
        of_record = None
        if jpeg is not None:
            of_record = heat_maps(model.shares([jpeg]), query[None])[0]
        of_query = heat_maps(shares[None], record.vector[None])[0]
        explained.append(ExplainedHit(hit, jpeg, of_query, of_record))
    return explained
