import gzip
import os
from collections.abc import Callable

import pytest

from benchmarks import hostile
from benchmarks.hostile_kinds import KINDS, PREDICT, Hostile, packed
from tests.serving.conftest import (
    Live,
    Served,
    live,
    loaded,
    model_folder,
    serve,
    tiny_versions,
)

__all__ = ["live", "loaded", "model_folder", "serve", "tiny_versions"]


def unpacked(request: Hostile) -> bytes:
    is_packed = request.headers.get("Content-Encoding") == "gzip"
    return gzip.decompress(request.body) if is_packed else request.body


@pytest.mark.parametrize("name", sorted(KINDS))
def test_kinds_are_as_long_as_is_asked_for(name: str) -> None:
    make = KINDS[name]
    size = len(unpacked(make(hostile.full_size(make, 0.5))))
    # Those whose depth or number of values is bounded stay short.
    assert size < 1_100_000
    if not any(word in name for word in ("deep", "filter")):
        assert size > 200_000


def test_what_is_sent_is_watched(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    port = live(serve()).port
    with hostile.watching(port, os.getpid()) as watch:
        statuses, seconds = hostile.send_all(port, packed(PREDICT, b"{}"), 3)
    assert statuses == [400] * 3
    assert 0 < watch.health < 20
    assert 0 < seconds < 20
    outcome = hostile.Outcome(2, statuses, seconds, watch, 1.0)
    table = hostile.draw_table({"a": outcome})
    assert table.row_count == 1
