"""SOP, CUB, CARS196 and VehicleID in their official layouts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS, Splits, cars, cub, sop
from tests import fakes

WRITERS: dict[str, Callable[[Path], Path]] = {
    "sop": fakes.write_sop,
    "cub": fakes.write_cub,
    "cars": fakes.write_cars,
    "vid": fakes.write_vid,
}
LISTS = {
    "sop": "Ebay_train.txt",
    "cub": "images.txt",
    "vid": "train_test_split/train_list.txt",
}


def read(spec: str, root: Path, allow_partial_data: bool = True) -> Splits:
    return DATASETS.build(
        spec, data_dir=str(root), allow_partial_data=allow_partial_data
    )


def edit(path: Path, number: int, line: str) -> None:
    lines = path.read_text().split("\n")
    lines[number - 1] = line
    path.write_text("\n".join(lines))


def test_sop_is_read(tmp_path: Path) -> None:
    splits = read("sop", fakes.write_sop(tmp_path, 3, 2))
    assert len(splits.train) == len(splits.query) == 6
    assert splits.leave_one_out
    assert splits.recall_at == (1, 10, 100, 1000)
    assert splits.train.paths[0] == f"{tmp_path}/train/id_00000000/00.jpg"


def test_cub_cuts_the_classes_at_a_hundred(tmp_path: Path) -> None:
    splits = read("cub", fakes.write_cub(tmp_path, 4, 3))
    assert splits.train.class_names == ("001", "002")
    assert splits.query.class_names == ("101", "102")
    assert splits.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert splits.train.paths[0] == f"{tmp_path}/images/001/00.jpg"


@pytest.mark.parametrize("write", [fakes.write_cars, fakes.write_cars_devkit])
def test_cars_cuts_the_classes_at_98_in_both_layouts(
    tmp_path: Path, write: Callable[[Path, int, int], Path]
) -> None:
    splits = read("cars", write(tmp_path, 4, 4))
    assert splits.train.class_names == ("001", "002")
    assert splits.query.class_names == ("099", "100")
    assert len(splits.train) == len(splits.query) == 8
    assert all(Path(path).is_file() for path in splits.train.paths)


def test_cars_test_labels_may_lie_beside_the_devkit(tmp_path: Path) -> None:
    root = fakes.write_cars_devkit(tmp_path, 4, 4)
    name = "cars_test_annos_withlabels.mat"
    (root / "devkit" / name).rename(root / name)
    assert len(read("cars", root).train) == 8


def test_vid_has_three_sizes_and_two_protocols(tmp_path: Path) -> None:
    root = fakes.write_vid(tmp_path, 3, 2)
    lists = root / "train_test_split"
    kept = (lists / "test_list_800.txt").read_text().split("\n")[:4]
    (lists / "test_list_800.txt").write_text("\n".join(kept))
    splits = read("vid", root)
    assert [
        (test.name, len(test.query), test.num_galleries) for test in splits.tests
    ] == [
        ("large, leave_one_out", 6, 0),
        ("small, leave_one_out", 4, 0),
        ("medium, leave_one_out", 6, 0),
        ("large, random_gallery", 6, 10),
        ("small, random_gallery", 4, 10),
        ("medium, random_gallery", 6, 10),
    ]
    assert splits.query.paths[0] == f"{root}/image/test/id_00000006/00.jpg"
    first = read("vid(size='small', protocol='random_gallery')", root).tests[0]
    assert first.name == "small, random_gallery"
    with pytest.raises(UsageError, match=r"no test of size 'smal'.*'small'"):
        read("vid(size='smal')", root)
    with pytest.raises(UsageError, match=r"no test of protocol 'random'.*'random_gal"):
        read("vid(protocol='random')", root)


@pytest.mark.parametrize("name", WRITERS)
def test_folder_above_may_be_given(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path / "archive")
    (tmp_path / "another").mkdir()
    assert len(read(name, tmp_path).train) == len(read(name, root).train)


@pytest.mark.parametrize("name", WRITERS)
def test_empty_folder_says_what_is_expected(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ValueError, match=r"found no .*; expected .* Correct --data_dir"
    ):
        read(name, tmp_path)
    with pytest.raises(UsageError, match=f"--dataset={name} received no --data_dir"):
        DATASETS.build(name, data_dir=None)


@pytest.mark.parametrize("name", WRITERS)
def test_wrong_counts_are_refused_unless_allowed(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path)
    with pytest.raises(ValueError, match=r"\(expected [\d,]+\).*--allow_partial_data"):
        read(name, root, allow_partial_data=False)
    assert "expected" in read(name, root).warnings[0]


def test_published_counts_are_those_of_the_papers() -> None:
    assert list(sop._COUNTS.values()) == [59_551, 11_318, 60_502, 11_316]
    assert list(cub._COUNTS.values()) == [5_864, 5_924, 200]
    assert list(cars._COUNTS.values()) == [8_054, 8_131, 196]


@pytest.mark.parametrize("name", LISTS)
def test_short_line_is_named(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path)
    edit(root / LISTS[name], 3, "5")
    with pytest.raises(ValueError, match=r"line 3: found 1 fields; expected"):
        read(name, root)


@pytest.mark.parametrize("name", LISTS)
def test_empty_list_is_named(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path)
    (root / LISTS[name]).write_text("")
    with pytest.raises(ValueError, match="the file is empty"):
        read(name, root)


@pytest.mark.parametrize(
    ("name", "line"),
    [("sop", "9 9 9 ../x.jpg"), ("cub", "1 ../x.jpg"), ("vid", "../x id")],
)
def test_path_out_of_the_root_is_refused(tmp_path: Path, name: str, line: str) -> None:
    root = WRITERS[name](tmp_path)
    edit(root / LISTS[name], 2, line)
    with pytest.raises(ValueError, match=r"line 2: found path '\.\./x"):
        read(name, root)


@pytest.mark.parametrize("name", LISTS)
def test_image_named_twice_is_refused(tmp_path: Path, name: str) -> None:
    root = WRITERS[name](tmp_path)
    lines = (root / LISTS[name]).read_text().split("\n")
    edit(root / LISTS[name], 3, lines[3])
    with pytest.raises(ValueError, match=r"line 4: found '.*' again, after .*line 3"):
        read(name, root)


def test_sop_header_must_be_there(tmp_path: Path) -> None:
    root = fakes.write_sop(tmp_path)
    edit(root / "Ebay_test.txt", 1, "1 1 1 train/a.jpg")
    with pytest.raises(ValueError, match=r"line 1: found header '1 1 1 train/a\.jpg'"):
        read("sop", root)


def test_cub_image_without_a_class_is_refused(tmp_path: Path) -> None:
    root = fakes.write_cub(tmp_path)
    edit(root / "images.txt", 2, "999 x.jpg")
    with pytest.raises(ValueError, match=r"line 2: found image 999, which"):
        read("cub", root)
    edit(root / "image_class_labels.txt", 1, "1 one")
    with pytest.raises(ValueError, match=r"line 1: found class 'one'; expected a numb"):
        read("cub", root)


def test_cars_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    root = fakes.write_cars(tmp_path)
    (root / "cars_annos.mat").write_bytes(b"no MATLAB file at all, but of some length")
    with pytest.raises(ValueError, match=r"cars_annos\.mat: cannot be read"):
        read("cars", root)
