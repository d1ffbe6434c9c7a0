"""Which queries the picture of neighbours shows."""

from pathlib import Path

import numpy as np
import pytest

from dce_tf.datasets import Images
from dce_tf.runs.snapshot import NUM_SHOWN, Snapshot

NONE = np.zeros(0, np.float32)


def images(*labels: int) -> Images:
    names = tuple(f"class {label}" for label in range(max(labels) + 1))
    paths = tuple(f"{row}.jpg" for row in range(len(labels)))
    return Images(paths, np.array(labels), names)


def snapshot(queries: list[int], right: list[list[int]]) -> Snapshot:
    found = np.arange(len(queries) * len(right[0])).reshape(len(queries), -1) % 3
    return Snapshot(
        np.array(queries), found, np.array(right, bool), positive=NONE, negative=NONE
    )


def test_queries_that_found_least_are_shown_first() -> None:
    query = images(0, 0, 1, 1, 2, 2)
    taken = snapshot([0, 2, 3, 4], [[1, 1, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]])
    assert taken.hardest(query, query).tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("alone", [True, False])
def test_queries_without_an_answer_are_shown_last(alone: bool) -> None:
    query = images(0, 1, 1, 2)
    # In a gallery that is the queries themselves, one of a class finds no other.
    gallery = query if alone else images(1, 1, 2)
    taken = snapshot([0, 1, 3], [[0, 0, 0], [0, 1, 1], [0, 0, 1]])
    expected = [1, 0, 2] if alone else [2, 1, 0]
    assert taken.hardest(query, gallery).tolist() == expected


def test_no_more_are_shown_than_fit() -> None:
    query = images(*[0] * 30)
    taken = snapshot(list(range(30)), [[1, 0]] * 29 + [[0, 0]])
    shown = taken.hardest(query, query)
    assert len(shown) == NUM_SHOWN
    assert shown[0] == 29
    files = taken.neighbours_in(query, query, shown)
    assert files.query_paths[0] == "29.jpg"
    assert len(files.neighbour_paths) == len(files.right) == NUM_SHOWN


def test_snapshot_is_read_back(tmp_path: Path) -> None:
    taken = snapshot([0, 2], [[1, 0], [0, 1]])
    taken.save(tmp_path / "a.npz")
    read = Snapshot.load(tmp_path / "a.npz")
    assert read.queries.tolist() == [0, 2]
    assert read.right.tolist() == taken.right.tolist()
