import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.index.maps import MapPlan, Reservoir
from tests.index.conftest import DIM, Place, many, record

TSNE = pytest.param("tsne", marks=pytest.mark.slow)


@pytest.mark.parametrize("method", ["pca", TSNE])
def test_map_places_and_colours_a_sample(local: Place, method: str) -> None:
    left, right = np.eye(DIM, dtype=np.float32)[:2]
    rng = np.random.default_rng(0)
    records = []
    for number in range(40):
        vector = (left if number % 2 else right) + rng.normal(0, 0.05, DIM)
        records.append(record(number, number, label=f"c{number % 2}"))
        records[-1] = type(records[-1])(
            number, vector.astype(np.float32), f"c{number % 2}"
        )
    local.make(records, map_plan=MapPlan(method, points=30, clusters=2))
    opened = local.open()
    assert opened.describe()["map"] == method
    drawn = opened.map()
    assert drawn["method"] == method
    assert len({point["id"] for point in drawn["points"]}) == 30
    sides: dict = {}
    for point in drawn["points"]:
        assert point["label"] == f"c{point['id'] % 2}"
        assert -1 <= point["x"] <= 1
        assert -1 <= point["y"] <= 1
        sides.setdefault(point["label"], []).append(point)
    for one, other in (sides.values(), list(sides.values())[::-1]):
        assert len({point["cluster"] for point in one}) == 1
        assert one[0]["cluster"] != other[0]["cluster"]
    gap = abs(
        np.mean([point["x"] for point in sides["c0"]])
        - np.mean([point["x"] for point in sides["c1"]])
    )
    if method == "pca":
        assert gap > 1
    opened.close()


def test_map_is_there_while_another_process_builds(local: Place) -> None:
    local.make(many(5), map_plan=MapPlan())
    reader, writer = local.open(read_only=True), local.open()
    before = reader.map()
    writer.delete([0])
    writer.rebuild()
    assert len(writer.map()["points"]) == 4
    assert len(before["points"]) == 5
    assert reader.map() == writer.map()
    for opened in (reader, writer):
        opened.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_map_of_few_records_is_drawn(local: Place, count: int, method: str) -> None:
    local.make(many(count), map_plan=MapPlan(method))
    opened = local.open()
    assert len(opened.map()["points"]) == count
    opened.rebuild()
    assert len(opened.map()["points"]) == count
    opened.close()


def test_sample_of_a_stream_is_of_all_of_it() -> None:
    sample: Reservoir[int] = Reservoir(100)
    for start in range(0, 1000, 7):
        sample.add(range(start, min(1000, start + 7)))
    assert len(set(sample.kept)) == 100
    assert 400 < np.mean(sample.kept) < 600
    assert 5 < sum(each < 100 for each in sample.kept) < 18
    few: Reservoir[int] = Reservoir(100)
    few.add(range(9))
    assert few.kept == list(range(9))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"method": "umapp"}, "--map=umapp: expected one of pca, tsne, none"),
        ({"points": 0}, "--map_points=0"),
        ({"clusters": 0}, "--map_clusters=0"),
    ],
)
def test_map_that_cannot_be_is_refused(plan: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MapPlan(**plan)
