"""The dashboard asks for metrics that there are, in words that Prometheus knows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dce_tf.retrieval.drift import Drift
from dce_tf.serving.metrics import Metrics

FILE = Path(__file__).parents[2] / "serving" / "grafana-dashboard.json"
DASHBOARD = json.loads(FILE.read_text(encoding="utf-8"))
EXPRESSIONS = [
    target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]
]


def selectors(expression: object) -> Iterator[promql_parser.VectorSelector]:
    """Yields what an expression reads, at any depth."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    names = ("expr", "lhs", "rhs", "args", "param", "vector_selector", "vs")
    for name in names:
        inner = getattr(expression, name, None)
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None:
                yield from selectors(each)


def filled() -> Metrics:
    """Metrics after one event of each kind, so that every series is there."""
    metrics = Metrics()
    metrics.watch_queue(lambda: 3)
    metrics.record_request("embedder", "predict", "REST", "OK", 0.1)
    metrics.record_examples("embedder", 2)
    metrics.record_warmup("embedder/1", 0.1)
    metrics.record_run("embedder", 0.1)
    metrics.record_batch(2, [0.1])
    metrics.record_query("products", 0.9, unknown=False)
    metrics.record_drift("products", Drift(0.1, 0.01, 1.0))
    return metrics


def series() -> dict[str, set[str]]:
    """Returns the labels of every series, by its name."""
    found: dict[str, set[str]] = {}
    page = filled().page().decode()
    # A counter of TensorFlow Serving does not end in _total, as the parser expects.
    page = re.sub(r"^# TYPE (\S+) counter$", r"# TYPE \1 untyped", page, flags=re.M)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_query_is_of_series_and_labels_there_are(expression: str) -> None:
    plain = expression.replace("$__rate_interval", "5m").replace("$job", "dce-tf")
    known = series()
    found = list(selectors(promql_parser.parse(plain)))
    assert found
    for each in found:
        assert each.name in known, each.name
        named = {matcher.name for matcher in each.matchers.matchers}
        assert named - {"job", "instance"} <= known[each.name]
    kept = {
        label
        for group in re.findall(r" by \(([^)]+)\)", expression)
        for label in group.split(", ")
    }
    labels = {label for each in found for label in known[each.name]}
    assert kept <= labels


def test_legends_name_labels_that_the_query_keeps() -> None:
    targets = [each for panel in DASHBOARD["panels"] for each in panel["targets"]]
    for target in targets:
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            kept = re.search(r" by \(([^)]+)\)", target["expr"])
            assert label in (kept[1].split(", ") if kept else ["instance"])


def test_every_metric_of_the_server_is_shown() -> None:
    shown = " ".join(EXPRESSIONS)
    own = {
        re.sub("_(bucket|sum|count|total)$", "", name)
        for name in series()
        if name.startswith((":tensorflow", "dce_tf"))
    }
    unshown = {name for name in own if name not in shown}
    # It happens once for each version: nothing to draw.
    assert unshown == {":tensorflow:serving:model_warmup_latency"}


def test_panels_do_not_lie_on_each_other() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    identities = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(identities) == len(set(identities))
