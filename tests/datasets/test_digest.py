"""What is the same data set, and what is another one."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from dce_tf.datasets import DATASETS, Images, Search, Splits
from dce_tf.datasets.digest import Home, common_folder, describe, differences
from tests import fakes


def read(root: Path | None, dataset: str = "csv") -> Splits:
    return DATASETS.build(dataset, data_dir=None if root is None else str(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    parts = ("train", "val", "query", "gallery")
    return fakes.write_csv(tmp_path / "data", 3, images_per_class=3, splits=parts)


def change(root: Path, old: str, new: str) -> Splits:
    index = root / "index.csv"
    text = index.read_text()
    assert old in text
    index.write_text(text.replace(old, new))
    return read(root)


LINE = "images/{0}/id_{1:08}/{2:02}.jpg,id_{1:08},{0}\n"


def test_every_split_has_its_counts_and_its_digest(root: Path) -> None:
    record = describe(read(root))
    assert list(record["splits"]) == ["train", "val", "query", "gallery"]
    for split in record["splits"].values():
        assert (split["images"], split["classes"]) == (9, 3)
        assert len(split["digest"]) == 64
    assert len({split["digest"] for split in record["splits"].values()}) == 4
    assert differences(record, read(root)) == []


def test_data_may_move_and_be_named_otherwise(root: Path, monkeypatch) -> None:
    record = describe(read(root))
    other = shutil.copytree(root, root.parent / "elsewhere" / "deeper")
    for data_dir in (other, other / "index.csv", Path("elsewhere/deeper/")):
        monkeypatch.chdir(root.parent)
        splits = read(data_dir)
        assert differences(record, splits) == []
        assert common_folder(splits) == other / "images"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            LINE.format("train", 1, 2),
            "",
            "train: 9 images of 3 classes then, 8 images of 3 classes now; the first "
            "that differs is row 5, now train/id_00000002/00.jpg of 'id_00000002'",
        ),
        (
            LINE.format("train", 2, 2),
            "",
            "train: 9 images of 3 classes then, 8 images of 3 classes now; what "
            "followed row 7 is gone",
        ),
        (
            LINE.format("gallery", 6, 1),
            LINE.format("gallery", 6, 1) + LINE.format("gallery", 6, 9),
            "gallery: 9 images of 3 classes then, 10 images of 3 classes now; the "
            "first that differs is row 2, now gallery/id_00000006/09.jpg of "
            "'id_00000006'",
        ),
        (
            "id_00000004/01.jpg,id_00000004,val",
            "id_00000004/01.jpg,id_00000005,val",
            "val: 9 images of 3 classes then, 9 images of 3 classes now; the first "
            "that differs is row 4, val/id_00000004/01.jpg: its label, now "
            "'id_00000005', or its group",
        ),
        (
            LINE.format("query", 6, 0) + LINE.format("query", 6, 1),
            LINE.format("query", 6, 1) + LINE.format("query", 6, 0),
            "query: 9 images of 3 classes then, 9 images of 3 classes now; the first "
            "that differs is row 0, now query/id_00000006/01.jpg of 'id_00000006'",
        ),
    ],
    ids=["removed", "removed at the end", "added", "labelled otherwise", "reordered"],
)
def test_other_data_are_told_by_their_first_difference(
    root: Path, old: str, new: str, message: str
) -> None:
    record = describe(read(root))
    assert differences(record, change(root, old, new)) == [message]


def test_rotated_labels_differ_though_all_counts_are_the_same(root: Path) -> None:
    record = describe(read(root))
    text = (root / "index.csv").read_text()
    for old, new in ((0, "x"), (1, 0), (2, 1), ("x", 2)):
        old = f",id_{old:08}," if isinstance(old, int) else f",{old},"
        text = text.replace(old, f",id_{new:08}," if isinstance(new, int) else ",x,")
    (root / "index.csv").write_text(text)
    (found,) = differences(record, read(root))
    assert found.startswith("train: 9 images of 3 classes then, 9 images of 3 classes")
    assert "row 0, train/id_00000000/00.jpg: its label, now 'id_00000002'" in found


def test_a_split_that_comes_or_goes_is_named(root: Path) -> None:
    splits = read(root)
    without = dataclasses.replace(splits, val=None)
    assert differences(describe(splits), without) == [
        "val: 9 images of 3 classes then, not there now"
    ]
    assert differences(describe(without), splits) == [
        "val: not there then, 9 images of 3 classes now"
    ]


def test_groups_and_super_classes_belong_to_the_labels() -> None:
    def splits(groups, supers=None) -> Splits:
        images = Images(
            ("/a/b/0.jpg", "/a/b/1.jpg"),
            np.array([0, 1], np.int32),
            ("x", "y"),
            None if groups is None else np.array(groups, np.int32),
            None if supers is None else np.array(supers, np.int32),
        )
        return Splits(images, None, (Search("test", images, images),))

    record = describe(splits([0, 0]))
    assert differences(record, splits([0, 0])) == []
    for other in (splits([0, 1]), splits(None), splits([0, 0], [0, 0])):
        assert len(differences(record, other)) == 1


def test_a_label_cannot_pose_as_the_end_of_a_path(tmp_path: Path) -> None:
    def splits(path: str, label: str) -> Splits:
        names = (label, "z")
        images = Images((path, "/a/b"), np.array([0, 1], np.int32), names)
        return Splits(images, None, (Search("test", images, images),))

    record = describe(splits("/a/b1", "1x"))
    assert differences(record, splits("/a/b11", "x"))


def test_images_of_no_known_class_are_part_of_it(tmp_path: Path) -> None:
    root = fakes.write_whale(tmp_path)

    def build() -> Splits:
        return DATASETS.build("whale", data_dir=str(root), allow_partial_data=True)

    record = describe(build())
    assert {"new_whale, val", "new_whale, test", "unlabelled"} < set(record["splits"])
    assert differences(record, build()) == []
    lines = (root / "sample_submission.csv").read_text().splitlines()
    (root / "sample_submission.csv").write_text("\n".join(lines[:-1]))
    (found,) = differences(record, build())
    assert found.startswith("unlabelled: 20 images of")


def test_sources_of_a_mix_may_move_each_by_itself(tmp_path: Path) -> None:
    root = fakes.write_mix(tmp_path / "mix", 3, 3, ("train", "query", "gallery"))

    def build(shop: Path, shelf: Path) -> Splits:
        return read(None, f"mix(csv={shop}, folder={shelf})")

    splits = build(root / "shop", root / "shelf")
    record = describe(splits)
    assert list(record["splits"]) == [
        "train",
        "shop: test",
        "shelf: query",
        "shelf: gallery",
    ]
    assert record["folders"] == {
        "shop": str(root / "shop" / "images"),
        "shelf": str(root / "shelf"),
    }
    other = shutil.copytree(root / "shelf", tmp_path / "far" / "away" / "shelf")
    moved = build(root / "shop", other)
    assert differences(record, moved) == []
    before, now = Home(splits), Home(moved)
    names = before.names(splits.query.paths)
    assert names[0] == "shop/test/id_00000006/00.jpg"
    assert names == now.names(moved.query.paths)
    assert [now.path(name) for name in names] == list(moved.query.paths)
    (other / "query" / "id_00000006" / "00.jpg").unlink()
    (found,) = differences(record, build(root / "shop", other))
    assert found.startswith("shelf: query: 9 images of 3 classes then, 8 images")
    assert "now shelf/query/id_00000006/01.jpg of 'shelf/id_00000006'" in found
