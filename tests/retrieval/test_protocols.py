import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import Images, Search
from dce_tf.retrieval import score_search
from tests.retrieval.test_metrics import KS, MAP_KS, by_loop, random_set


def images(labels: np.ndarray, groups: np.ndarray | None = None) -> Images:
    paths = tuple(f"{i}.jpg" for i in range(len(labels)))
    return Images(paths, labels, ("a", "b", "c", "d", "e", "f", "g"), groups)


def score(search: Search, query, gallery, **settings) -> dict[str, float]:
    settings = {"recall_at": KS, "map_at": MAP_KS, "metric": "euclidean", **settings}
    return score_search(search, query, gallery, **settings).means


def test_query_and_gallery_equal_a_plain_loop() -> None:
    (q, ql), (g, gl) = random_set(0, 30), random_set(1, 70)
    search = Search("test", images(ql), images(gl))
    got = score(search, q, g)
    assert got == pytest.approx(by_loop(q, ql, g, gl, False), abs=1e-6)


@pytest.mark.parametrize("one_set", [True, False])
@pytest.mark.parametrize("exclude", ["same_image", "same_camera"])
def test_groups_hide_what_they_should(exclude: str, one_set: bool) -> None:
    (q, ql), (g, gl) = random_set(0, 40), random_set(1, 70)
    rng = np.random.default_rng(2)
    # −1: no group, which hides nothing.
    q_group, g_group = (rng.integers(-1, 4, size=n).astype(np.int32) for n in (40, 70))
    if one_set:
        g, gl, g_group = q, ql, q_group

    def hidden(i: int, j: int) -> bool:
        same = q_group[i] == g_group[j] and q_group[i] >= 0
        return same and (exclude == "same_image" or ql[i] == gl[j])

    query = images(ql, q_group)
    search = Search("test", query, query if one_set else images(gl, g_group))
    got = score(search, q, g, exclude=exclude)
    expected = by_loop(q, ql, g, gl, one_set, hidden)
    assert got == pytest.approx(expected, abs=1e-6)
    assert got != pytest.approx(score(search, q, g), abs=1e-3)


def test_random_galleries_have_one_image_of_each_class() -> None:
    x, y = random_set(0, 60)
    part = images(y)
    scores = score_search(
        Search("test", part, part, num_galleries=10), x, x, recall_at=(1,), map_at=()
    )
    assert len(scores.labels) == 10 * (60 - 7)
    assert scores.means["recall@1"] == scores.means["r_precision"]
    draws = scores.values["recall@1"].reshape(10, -1).mean(axis=1)
    assert len(set(draws)) > 1
    assert (
        scores.means["recall@1"] < score(Search("test", part, part), x, x)["recall@1"]
    )


def test_random_gallery_equals_a_search_in_it() -> None:
    x, y = random_set(3, 40)
    part = images(y)
    got = score(Search("test", part, part, num_galleries=1), x, x, seed=5)
    order = np.random.default_rng([5, 0]).permutation(40)
    gallery = [next(i for i in order if y[i] == label) for label in range(7)]
    query = [i for i in range(40) if i not in gallery]
    expected = by_loop(x[query], y[query], x[gallery], y[gallery], False)
    assert got == pytest.approx(expected, abs=1e-6)


def test_random_gallery_of_lone_images_is_refused() -> None:
    x, part = np.eye(3, dtype=np.float32), images(np.arange(3, dtype=np.int32))
    with pytest.raises(ValueError, match="leaves no query"):
        score(Search("test", part, part, num_galleries=2), x, x)


def test_exclusion_without_groups_is_refused() -> None:
    x, y = random_set(0, 10)
    search = Search("test", images(y), images(y))
    with pytest.raises(UsageError, match=r"--exclude=same_camera goes by the group"):
        score(search, x, x, exclude="same_camera")
    with pytest.raises(UsageError, match=r"--exclude=camera is not one of none"):
        score(search, x, x, exclude="camera")


def test_intervals_hold_the_means() -> None:
    x, y = random_set(0, 200)
    part = images(y)
    scores = score_search(Search("test", part, part), x, x, recall_at=KS)
    for name, (low, high) in scores.intervals.items():
        assert low <= scores.means[name] <= high
        assert high - low < 0.5


@pytest.mark.parametrize("exclude", ["none", "same_image", "same_camera"])
def test_queries_of_a_union_do_not_find_themselves(exclude: str) -> None:
    # The first 30 are searched among themselves, too; 25 of the gallery are not asked.
    (x, y), rng = random_set(4, 70), np.random.default_rng(5)
    group = rng.integers(-1, 4, size=70).astype(np.int32)
    whole = images(y, group)
    asked = np.concatenate([np.arange(30), np.arange(55, 70)])
    there = rng.permutation(55)
    search = Search(
        "merged", whole.keep(asked), whole.keep(there), united=("one", "two")
    )
    assert search.overlaps

    def hidden(i: int, j: int) -> bool:
        mine, other = asked[i], there[j]
        same = group[mine] == group[other] and group[mine] >= 0
        in_group = same and (exclude == "same_image" or y[mine] == y[other])
        return mine == other or (exclude != "none" and in_group)

    got = score(search, x[asked], x[there], exclude=exclude)
    expected = by_loop(x[asked], y[asked], x[there], y[there], False, hidden)
    assert got == pytest.approx(expected, abs=1e-6)
