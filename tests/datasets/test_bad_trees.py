"""Faults that any format can have, in every one that can have them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf.datasets import DATASETS, Splits
from tests import fakes

# Writers of trees, with how many classes make one in train.
WRITERS: dict[str, tuple[Callable[..., Path], int]] = {
    "cars": (fakes.write_cars, 2),
    "csv": (fakes.write_csv, 1),
    "cub": (fakes.write_cub, 2),
    "folder": (fakes.write_folder, 1),
    "inshop": (fakes.write_inshop, 1),
    "sop": (fakes.write_sop, 1),
    "vid": (fakes.write_vid, 1),
    "whale": (fakes.write_whale, 2),
}
NEEDED = [
    ("cars", "cars_annos.mat"),
    ("csv", "index.csv"),
    ("cub", "images.txt"),
    ("cub", "image_class_labels.txt"),
    ("folder", "test"),
    ("inshop", "Eval/list_eval_partition.txt"),
    ("inshop", "Img"),
    ("sop", "Ebay_train.txt"),
    ("sop", "Ebay_test.txt"),
    ("vid", "train_test_split"),
    ("vid", "train_test_split/train_list.txt"),
    ("vid", "train_test_split/test_list_1600.txt"),
    ("whale", "train.csv"),
]
# Where a list gives each image its class: the file, and a class of train in it.
LISTS = {
    "csv": "index.csv",
    "inshop": "Eval/list_eval_partition.txt",
    "sop": "Ebay_test.txt",
    "vid": "train_test_split/test_list_800.txt",
}


def read(name: str, root: Path) -> Splits:
    return DATASETS.build(name, data_dir=str(root), allow_partial_data=True)


@pytest.mark.parametrize("name", WRITERS)
def test_one_class_only_is_refused(tmp_path: Path, name: str) -> None:
    write, num_classes = WRITERS[name]
    root = write(tmp_path, num_classes=num_classes)
    if name == "whale":  # Two whales, one of them held out, and one with one image.
        path = root / "train.csv"
        lines = path.read_text().split("\n")
        path.write_text("\n".join(line for line in lines if "w_lone" not in line))
    with pytest.raises(ValueError, match=r"found only class '.*' in train; expected"):
        read(name, root)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"whale"}))
def test_one_image_a_class_is_refused(tmp_path: Path, name: str) -> None:
    root = WRITERS[name][0](tmp_path, num_classes=4, images_per_class=1)
    with pytest.raises(ValueError, match=r"no train class with two images among [24]"):
        read(name, root)


@pytest.mark.parametrize(("name", "gone"), NEEDED)
def test_what_is_missing_is_named(tmp_path: Path, name: str, gone: str) -> None:
    root = WRITERS[name][0](tmp_path)
    path = root / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    wanted = Path(gone).name
    with pytest.raises(ValueError, match=rf"{wanted}.*expected|expected.*{wanted}"):
        read(name, root)


@pytest.mark.parametrize("name", LISTS)
def test_class_in_train_and_test_is_refused(tmp_path: Path, name: str) -> None:
    root = WRITERS[name][0](tmp_path, num_classes=3)
    path = root / LISTS[name]
    lines = path.read_text().split("\n")
    # The test's last class takes the name of a class of train, but not in the path.
    field = ",{}," if name == "csv" else " {}"
    old, new = (field.format(f"id_{number:08}") for number in (8, 0))
    assert any(old in line for line in lines)
    path.write_text("\n".join(line.replace(old, new) for line in lines))
    with pytest.raises(ValueError, match=r"found class 'id_00000000' in both train"):
        read(name, root)
