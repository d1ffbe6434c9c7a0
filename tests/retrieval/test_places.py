"""A second look against plain loops over places."""

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import Images, Search
from dce_tf.retrieval.places import match_places
from dce_tf.retrieval.protocols import score_search
from dce_tf.retrieval.rerankers import RERANKERS, Asked
from dce_tf.retrieval.rerankers.local import Local


def unit(shape: tuple[int, ...], seed: int) -> np.ndarray:
    numbers = np.random.default_rng(seed).normal(size=shape)
    return numbers / np.linalg.norm(numbers, axis=-1, keepdims=True)


def codes(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.round(127 * unit(shape, seed)).astype(np.int8)


def match_in_loops(query: np.ndarray, other: np.ndarray) -> float:
    query, other = query / 127, other / 127
    there = [max(float(own @ place) for place in other) for own in query]
    back = [max(float(own @ place) for own in query) for place in other]
    return (sum(there) / len(there) + sum(back) / len(back)) / 2


def test_match_is_that_of_loops() -> None:
    query, others = codes((5, 8), 0), codes((7, 4, 8), 1)
    expected = [match_in_loops(query, other) for other in others]
    np.testing.assert_allclose(match_places(query, others), expected, rtol=1e-5)
    assert match_places(query, query[None])[0] == pytest.approx(1, abs=0.02)


def images(count: int, classes: int) -> Images:
    labels = np.arange(count, dtype=np.int32) % classes
    names = [str(number) for number in range(classes)]
    return Images([f"{row}.jpg" for row in range(count)], labels, names)


def ranks_in_loops(
    query: np.ndarray,
    gallery: np.ndarray,
    own: np.ndarray,
    places: np.ndarray,
    look: Local,
    same: bool,
) -> list[list[int]]:
    found = []
    for row, vector in enumerate(query):
        others = [place for place in range(len(gallery)) if not same or place != row]
        others.sort(key=lambda place: -float(vector @ gallery[place]))
        first, rest = others[: look.top], others[look.top :]
        first.sort(
            key=lambda place: (
                -(
                    float(vector @ gallery[place])
                    + look.weight * match_in_loops(own[row], places[place])
                )
            )
        )
        found.append(first + rest)
    return found


@pytest.mark.parametrize("same", [True, False])
def test_order_is_that_of_loops(same: bool) -> None:
    look = Local(top=6, weight=0.8)
    gallery, places = unit((20, 5), 2), codes((20, 4, 6), 3)
    query, own = (gallery, places) if same else (unit((7, 5), 4), codes((7, 4, 6), 5))
    both = images(20, 4)
    search = Search("test", both if same else images(7, 4), both)
    scores = score_search(
        search, query, gallery, recall_at=(1, 3), rerank=look.with_places(own, places)
    )
    ranked = ranks_in_loops(query, gallery, own, places, look, same)
    labels = search.query.labels
    for k in (1, 3):
        hits = [
            any(both.labels[place] == labels[row] for place in found[:k])
            for row, found in enumerate(ranked)
        ]
        assert scores.values[f"recall@{k}"].tolist() == hits
    plain = score_search(search, query, gallery, recall_at=(1, 3))
    assert plain.values["map@r"].tolist() != scores.values["map@r"].tolist()


def test_galleries_that_are_drawn_have_their_own_places() -> None:
    # Places that tell the classes apart, and embeddings that do not.
    labels = np.arange(24) % 3
    places = codes((3, 4, 6), 6)[labels]
    both = images(24, 3)
    search = Search("test", both, both, num_galleries=4)
    look = Local(top=3, weight=20).with_places(places, places)
    vectors = unit((24, 5), 7)
    scores = score_search(search, vectors, vectors, recall_at=(1,), rerank=look)
    assert scores.values["recall@1"].mean() == 1
    assert (
        score_search(search, vectors, vectors, recall_at=(1,)).values["recall@1"].mean()
        < 0.8
    )


def test_what_is_hidden_takes_no_place_among_the_first() -> None:
    # The nearest of the query are of its own photograph, and may not be found.
    query, gallery = unit((1, 5), 9), unit((6, 5), 10)
    gallery[:3] = query
    places = codes((6, 4, 6), 11)
    own = places[4:5]
    labels = np.array([0, 0, 0, 1, 0, 1], np.int32)
    asked = Images(["q.jpg"], labels[:1], ["a", "b"], groups=np.array([7]))
    there = Images(
        [f"{row}.jpg" for row in range(6)],
        labels,
        ["a", "b"],
        groups=np.array([7, 7, 7, 1, 2, 3]),
    )
    found = score_search(
        Search("test", asked, there),
        query,
        gallery,
        recall_at=(1,),
        exclude="same_image",
        rerank=Local(top=3, weight=50).with_places(own, places),
    )
    assert found.values["recall@1"].tolist() == [1]


def test_a_collapsed_network_finds_nothing() -> None:
    both = images(30, 3)
    order = np.argsort(both.labels, kind="stable")
    both = Images(
        [both.paths[row] for row in order], both.labels[order], ["a", "b", "c"]
    )
    vectors = np.repeat(unit((1, 5), 12), 30, axis=0)
    places = np.repeat(codes((1, 4, 6), 13), 30, axis=0)
    look = Local(top=5, weight=100).with_places(places, places)
    search = Search("test", both, both)
    found = score_search(search, vectors, vectors, recall_at=(1, 5), rerank=look)
    assert found.values["recall@5"].max() == 0


def test_embeddings_alone_have_no_places() -> None:
    vectors = unit((6, 4), 8)
    with pytest.raises(UsageError, match="compares places of images"):
        RERANKERS.build("local")(Asked(vectors, vectors, True))


@pytest.mark.parametrize("spec", ["local(top=1)", "local(weight=0)", "local(top=0)"])
def test_options_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="local needs top of at least 2"):
        RERANKERS.build(spec)
