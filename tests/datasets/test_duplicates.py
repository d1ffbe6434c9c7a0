from pathlib import Path

import pytest

from dce_tf.datasets.duplicates import Occurrence, find_duplicates, find_shared
from dce_tf.datasets.splits import Images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "a_again", "a_third"):
        (tmp_path / name).write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"two")  # As long as the others.
    (tmp_path / "c").write_bytes(b"three")
    (tmp_path / "nothing").touch()
    (tmp_path / "nothing_again").touch()
    return tmp_path


def part(folder: Path, **classes: str) -> Images:
    paths = [str(folder / name) for name in classes]
    return Images.from_names(paths, list(classes.values()))


def test_one_class_and_split_may_have_a_file_twice(folder: Path) -> None:
    assert find_duplicates({"train": part(folder, a="x", a_again="x", b="y")}) == []


def test_two_classes_may_not(folder: Path) -> None:
    (found,) = find_duplicates({"train": part(folder, a="x", b="y", a_again="y")})
    assert found.found == (
        Occurrence(str(folder / "a"), "train", "x"),
        Occurrence(str(folder / "a_again"), "train", "y"),
    )
    assert found.in_two_classes
    assert not found.in_two_splits


def test_two_splits_may_not(folder: Path) -> None:
    parts = {
        "train": part(folder, a="x", c="y"),
        "query": part(folder, a_again="x", a_third="x"),
        "gallery": part(folder, b="x"),
    }
    (found,) = find_duplicates(parts)
    assert [each.split for each in found.found] == ["train", "query", "query"]
    assert found.in_two_splits
    assert not found.in_two_classes


def test_links_are_the_file_they_name(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "b")
    (found,) = find_duplicates({"train": part(folder, b="x", link="y")})
    assert found.in_two_classes


def test_empty_and_missing_files_are_no_duplicates(folder: Path) -> None:
    classes = {"nothing": "x", "nothing_again": "y", "gone": "x", "gone_too": "y"}
    assert find_duplicates({"train": part(folder, **classes)}) == []


def test_copies_and_links_are_found_across_sources_only(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "b")
    (folder / "long").write_bytes(b"x" * 5000 + b"1")
    (folder / "longer").write_bytes(b"x" * 5000 + b"2")  # It begins like the other.

    def paths(*names: str) -> list[str]:
        return [str(folder / name) for name in names]

    sources = {
        "one": paths("a", "a_again", "b", "nothing", "long", "gone"),
        "two": paths("a_third", "link", "nothing_again", "longer", "c"),
    }
    assert find_shared(sources) == [
        tuple(paths("a", "a_again", "a_third")),
        tuple(paths("b", "link")),
    ]
    assert find_shared({"one": paths("a", "a_again"), "two": paths("c")}) == []
