"""Queries are counted, and compared with the records of their collection."""

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dce_tf.export.fingerprint import fingerprint
from dce_tf.index import Collection, Record, build_collection, open_collection
from dce_tf.retrieval.drift import FEWEST, measure_drift
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.search.deciding import Decision
from dce_tf.serving.search.threads import CollectionThreads
from dce_tf.serving.search.watching import EVERY, WINDOW, QueryWatch
from tests.serving.conftest import DIM, Client, Served, b64, picture
from tests.serving.search.test_deciding import AMONG

URL = "/v1/collections/things"
UNKNOWN = Decision({}, 0.25, True)
KNOWN = Decision({}, 0.75, False)


def draw(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, DIM)) + 1
    drawn[:, 0] += shift
    return drawn.astype(np.float32)


@pytest.fixture
def collection(tiny_versions: Path, tmp_path: Path) -> Collection:
    records = [Record(n, each, f"c{n % 9}") for n, each in enumerate(draw(600, 0))]
    build_collection(
        tmp_path / "things",
        [records],
        fingerprint=fingerprint(tiny_versions / "1"),
        embedding_dim=DIM,
        calibration=AMONG,
    )
    return open_collection(str(tmp_path / "things"))


def value(metrics: Metrics, series: str) -> float | None:
    found = re.search(
        rf'^{series}{{collection="things"}} (\S+)$', metrics.page().decode(), re.M
    )
    return None if found is None else float(found[1])


def until(found: Callable[[], float | None]) -> float:
    deadline = time.monotonic() + 60
    while (there := found()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return there


@pytest.mark.parametrize(("shift", "is_far"), [(0.0, False), (4.0, True)])
def test_drift_is_told_after_enough_queries(
    collection: Collection, shift: float, is_far: bool
) -> None:
    metrics, threads = Metrics(), CollectionThreads()
    watch = QueryWatch(collection, metrics, threads)
    queries = draw(FEWEST, 1, shift)
    for each in queries[:-1]:
        watch.add(each, KNOWN)
    assert value(metrics, "dce_tf:drift_z") is None
    watch.add(queries[-1], UNKNOWN)
    z = until(lambda: value(metrics, "dce_tf:drift_z"))
    assert (z > 10) == is_far
    distance = value(metrics, "dce_tf:drift_mean_distance")
    expected = measure_drift(queries, collection.sample(WINDOW)).mean_distance
    assert distance == pytest.approx(expected, abs=1e-4)
    assert value(metrics, "dce_tf:queries_total") == FEWEST
    assert value(metrics, "dce_tf:unknown_queries_total") == 1
    mean = (0.75 * (FEWEST - 1) + 0.25) / FEWEST
    total = value(metrics, "dce_tf:query_probability_sum")
    assert total is not None
    assert total / FEWEST == pytest.approx(mean)
    threads.close()


def test_only_the_last_queries_count(collection: Collection) -> None:
    metrics, threads = Metrics(), CollectionThreads()
    watch = QueryWatch(collection, metrics, threads)
    for each in (*draw(WINDOW, 1, shift=4.0), *draw(WINDOW, 2)):
        watch.add(each, KNOWN)
    threads.close()  # Ends what was begun.
    watch.measure()
    z = value(metrics, "dce_tf:drift_z")
    assert z is not None
    assert abs(z) < 5


def test_a_small_collection_is_not_tested(tmp_path: Path, tiny_versions: Path) -> None:
    build_collection(
        tmp_path / "things",
        [[Record("one", draw(1, 0)[0])]],
        fingerprint=fingerprint(tiny_versions / "1"),
        embedding_dim=DIM,
    )
    metrics, threads = Metrics(), CollectionThreads()
    watch = QueryWatch(open_collection(str(tmp_path / "things")), metrics, threads)
    for each in draw(FEWEST, 1):
        watch.add(each, Decision({}, None, None))
    threads.close()
    assert value(metrics, "dce_tf:queries_total") == FEWEST
    assert value(metrics, "dce_tf:unknown_queries_total") is None
    assert value(metrics, "dce_tf:drift_z") is None


def test_failure_of_a_measurement_is_in_the_log_and_stops_nothing(
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(count: int) -> np.ndarray:
        raise OSError(f"no {count} records now")

    monkeypatch.setattr(collection, "sample", fail)
    threads = CollectionThreads()
    watch = QueryWatch(collection, Metrics(), threads)
    with caplog.at_level(logging.WARNING):
        for each in draw(FEWEST + EVERY, 1):
            watch.add(each, KNOWN)
        threads.close()
    assert caplog.text.count(f"left out: no {WINDOW} records now") == 2


def test_images_and_vectors_count_over_http_and_records_do_not(
    serve: Callable[..., Served], collection: Collection
) -> None:
    served = serve(collections=[collection])
    client: Client = served.client
    queries = [
        ("search", {"vector": [1.0] * DIM}),
        ("search", {"vector": [-1.0] * DIM, "min_probability": 1}),
        ("search", {"image": b64(picture(seed=1))}),
        ("identify", {"vector": [1.0] * DIM, "min_probability": 0}),
        ("search", {"id": 3}),
    ]
    for action, body in queries:
        answer = client.post(f"{URL}:{action}", json=body)
        assert answer.status_code == 200, answer.text
    assert value(served.metrics, "dce_tf:queries_total") == 4
    unknown = value(served.metrics, "dce_tf:unknown_queries_total")
    assert unknown is not None
    assert unknown >= 1
