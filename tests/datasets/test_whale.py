from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS, Splits
from tests import fakes


def read(root: Path, spec: str = "whale", partial: bool = True) -> Splits:
    return DATASETS.build(spec, data_dir=str(root), allow_partial_data=partial)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fakes.write_whale(tmp_path / "whale")


def edit(root: Path, number: int, line: str) -> None:
    path = root / "train.csv"
    lines = path.read_text().split("\n")
    lines[number - 1] = line
    path.write_text("\n".join(lines))


def test_whales_are_held_out_and_lone_ones_trained_on(root: Path) -> None:
    splits = read(root)
    assert (len(splits.train), len(splits.query)) == (41, 10)
    assert len(splits.query.class_names) == 2
    assert "w_lone" in splits.train.class_names
    assert splits.leave_one_out
    assert (splits.recall_at, splits.map_at) == ((1, 5), (5,))


def test_new_whale_is_no_class(root: Path) -> None:
    splits = read(root)
    for part in (splits.train, splits.query):
        assert "new_whale" not in part.class_names
    assert splits.open_set.share == pytest.approx(25 / 76)
    assert (len(splits.open_set.val), len(splits.open_set.test)) == (20, 5)
    assert not set(splits.open_set.val.paths) & set(splits.open_set.test.paths)


def test_seed_and_fraction_decide_what_is_held_out(root: Path) -> None:
    first, again = read(root), read(root)
    other = read(root, "whale(split_seed=1)")
    more = read(root, "whale(test_fraction=0.5)")
    assert first.query.paths == again.query.paths != other.query.paths
    assert len(more.query.class_names) == 5
    assert set(first.query.class_names) <= set(more.query.class_names)


def test_unlabelled_images_are_those_of_the_submission(root: Path) -> None:
    open_set = read(root).open_set
    assert len(open_set.to_answer) == 20
    assert open_set.unlabelled.paths[0] == f"{root}/test/{open_set.to_answer[0]}"
    (root / "sample_submission.csv").unlink()
    assert sorted(open_set.to_answer) == list(read(root).open_set.to_answer)


def test_folder_above_is_taken(root: Path) -> None:
    assert len(read(root.parent).train) == 41


def test_published_counts_are_checked(root: Path) -> None:
    with pytest.raises(ValueError, match=r"76 images \(expected 25,361\)"):
        read(root, partial=False)
    assert "25 images of new_whale (expected 9,664)" in read(root).warnings[0]


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (1, "image,label", "line 1: found header 'image,label'; expected 'Image,Id'"),
        (3, "a.jpg", "line 3: found .'a.jpg'.; expected an image and the id"),
        (3, "a.jpg,", "line 3: .* expected an image and the id"),
        (3, "../a.jpg,w_1", "line 3: found path '../a.jpg'; expected one below"),
    ],
)
def test_bad_line_is_named(root: Path, number: int, line: str, message: str) -> None:
    edit(root, number, line)
    with pytest.raises(ValueError, match=message):
        read(root)


def test_image_named_twice_is_refused(root: Path) -> None:
    path = root / "train.csv"
    lines = path.read_text().split("\n")
    edit(root, 4, lines[1])
    with pytest.raises(ValueError, match=r"line 4: found .* again, after .*line 2"):
        read(root)


def test_missing_and_empty_files_are_named(root: Path) -> None:
    (root / "train.csv").write_text("\n")
    with pytest.raises(ValueError, match=r"train\.csv: the file is empty"):
        read(root)
    (root / "train.csv").unlink()
    with pytest.raises(ValueError, match=r"found no train\.csv"):
        read(root)


@pytest.mark.parametrize("num_whales", [0, 1])
def test_too_few_whales_are_refused(tmp_path: Path, num_whales: int) -> None:
    root = fakes.write_whale(tmp_path, num_classes=max(2, num_whales))
    lines = (root / "train.csv").read_text().split("\n")
    kept = [x for x in lines if x.endswith(("Id", "new_whale", "w_lone"))]
    kept += [x for x in lines if x.endswith("w_0000000")][: 5 * num_whales]
    (root / "train.csv").write_text("\n".join(kept))
    with pytest.raises(ValueError, match="expected"):
        read(root)


def test_one_image_a_whale_is_refused(root: Path) -> None:
    lines = (root / "train.csv").read_text().split("\n")
    whales = {x.partition(",")[2]: x for x in lines[1:] if x}
    (root / "train.csv").write_text("\n".join(["Image,Id", *whales.values()]))
    with pytest.raises(ValueError, match="expected"):
        read(root)


def test_no_unknown_whales_are_refused(root: Path) -> None:
    lines = (root / "train.csv").read_text().split("\n")
    (root / "train.csv").write_text(
        "\n".join(line for line in lines if not line.endswith("new_whale"))
    )
    with pytest.raises(ValueError, match="found 0 images of new_whale"):
        read(root)


@pytest.mark.parametrize("fraction", [0, 1, 1.5])
def test_fraction_out_of_range_is_refused(root: Path, fraction: float) -> None:
    with pytest.raises(UsageError, match="must be a share"):
        read(root, f"whale(test_fraction={fraction})")


def test_parts_hold_every_image_once(root: Path) -> None:
    parts = read(root).parts()
    assert list(parts) == [
        "train",
        "test",
        "new_whale, val",
        "new_whale, test",
        "unlabelled",
    ]
    assert sum(map(len, parts.values())) == 76 + 20
    assert (
        len(np.unique([path for part in parts.values() for path in part.paths])) == 96
    )
