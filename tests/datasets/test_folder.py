from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS, Splits
from tests import fakes


def read(root: Path, spec: str = "folder") -> Splits:
    return DATASETS.build(spec, data_dir=str(root), allow_partial_data=False)


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_classes_are_folders_and_images_come_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "train/b/2.jpg", "train/b/1.PNG", "train/a c/deep/er/3.WebP")
    touch(tmp_path, "train/a c/4.jpeg", "test/z/5.bmp", "test/z/6.gif", "other/x.jpg")
    splits = read(tmp_path)
    paths = [path.removeprefix(f"{tmp_path}/train/") for path in splits.train.paths]
    assert paths == ["a c/4.jpeg", "a c/deep/er/3.WebP", "b/1.PNG", "b/2.jpg"]
    assert splits.train.class_names == ("a c", "b")
    assert splits.train.labels.tolist() == [0, 0, 1, 1]
    assert len(splits.query) == 2
    assert splits.leave_one_out
    assert splits.val is None
    assert splits.warnings == ()


def test_query_gallery_and_val_are_read(tmp_path: Path) -> None:
    fakes.write_folder(tmp_path, 3, 2, splits=("train", "val", "query", "gallery"))
    splits = read(tmp_path)
    assert splits.val is not None
    assert [len(s) for s in (splits.train, splits.val, splits.query)] == [6, 6, 6]
    assert not splits.leave_one_out
    assert splits.query.class_names == splits.gallery.class_names


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    fakes.write_folder(tmp_path, 2, 2)
    touch(tmp_path, "train/.DS_Store", "train/._x.jpg", "train/.git/x.jpg")
    touch(tmp_path, "train/id_00000000/._1.jpg", "train/id_00000000/.thumb/x.jpg")
    splits = read(tmp_path)
    assert len(splits.train) == 4
    assert splits.warnings == ()


def test_other_files_and_empty_classes_are_reported(tmp_path: Path) -> None:
    fakes.write_folder(tmp_path, 2, 2)
    touch(tmp_path, "train/id_00000000/x.tif", "train/id_00000000/notes")
    (tmp_path / "train" / "empty").mkdir()
    files, classes = read(tmp_path).warnings
    assert "1 .tif" in files
    assert "1 bare" in files
    assert "Convert those to be used to JPEG, PNG, GIF, BMP or WebP." in files
    assert "1 class folders hold no image" in classes
    assert "train/empty" in classes


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], r"found no folders; expected a folder with train/CLASS/"),
        (["cat/1.jpg", "dog/1.jpg"], r"found cat, dog; expected a folder with train/"),
        (["train/1.jpg"], r"train/1\.jpg: found an image directly in train/"),
        (["train/readme.txt"], r"train: found no class folders"),
        (["train/a/1.txt"], r"train: found 1 class folders without an image"),
    ],
)
def test_wrong_layout_is_named(tmp_path: Path, paths: list[str], message: str) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_test_is_named(tmp_path: Path) -> None:
    fakes.write_folder(tmp_path, 2, 2, splits=("train",))
    with pytest.raises(ValueError, match="expected test, or query and"):
        read(tmp_path)


def test_folder_without_train_is_read_for_evaluation(tmp_path: Path) -> None:
    fakes.write_folder(tmp_path, 2, 2, splits=("query", "gallery"))
    splits = read(tmp_path)
    assert [len(part) for part in (splits.train, splits.query)] == [0, 4]


def test_class_in_train_and_test_is_named_with_an_image(tmp_path: Path) -> None:
    fakes.write_folder(tmp_path, 2, 2)
    touch(tmp_path, "test/id_00000001/9.jpg")
    with pytest.raises(ValueError, match=r"test/id_00000001/9\.jpg: found class 'id_"):
        read(tmp_path)


def test_missing_folder_and_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        read(tmp_path / "nowhere")
    touch(tmp_path, "file")
    with pytest.raises(ValueError, match="file: found no folders"):
        read(tmp_path / "file")


def write_classes(root: Path, **sizes: int) -> None:
    touch(root, *(f"{name}/{i}.jpg" for name, n in sizes.items() for i in range(n)))


def test_whole_classes_are_dealt_out(tmp_path: Path) -> None:
    write_classes(tmp_path, **{f"c{number}": 3 for number in range(10)}, lone=1)
    splits = read(tmp_path, "folder(test_fraction=0.3)")
    train, test = splits.train.class_names, splits.query.class_names
    assert splits.leave_one_out
    assert len(test) == 3
    assert sorted([*train, *test]) == sorted([*(f"c{n}" for n in range(10)), "lone"])
    assert "lone" in train
    assert len(splits.train) + len(splits.query) == 31


def test_a_class_stays_on_its_side_when_one_comes(tmp_path: Path) -> None:
    write_classes(tmp_path, **{f"c{number}": 2 for number in range(20)})
    before = set(read(tmp_path, "folder(test_fraction=0.5)").query.class_names)
    write_classes(tmp_path, another=2)
    after = set(read(tmp_path, "folder(test_fraction=0.5)").query.class_names)
    assert len(before ^ after) <= 2


def test_each_side_has_two_classes_to_tell_apart(tmp_path: Path) -> None:
    write_classes(tmp_path, a=2, b=2, c=2, d=5)
    for share in (0.01, 0.99):
        splits = read(tmp_path, f"folder(test_fraction={share})")
        assert len(splits.train.class_names) == len(splits.query.class_names) == 2


@pytest.mark.parametrize("share", ["0", "1.0", "1", "half", "nan"])
def test_share_of_the_test_is_checked(tmp_path: Path, share: str) -> None:
    with pytest.raises(UsageError, match=r"expected a share in \(0, 1\)"):
        read(tmp_path, f"folder(test_fraction={share})")


def test_folders_of_the_other_layout_are_told_apart(tmp_path: Path) -> None:
    write_classes(tmp_path, a=2, b=2, c=2, d=1)
    message = r"pass --dataset='folder\(test_fraction=0.2\)'"
    with pytest.raises(ValueError, match=message):
        read(tmp_path)
    message = "found 4 classes, 3 of them with two images or more; expected 4 such"
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "folder(test_fraction=0.5)")
    touch(tmp_path, "train/x/1.jpg")
    with pytest.raises(ValueError, match="Leave test_fraction out: these are splits"):
        read(tmp_path, "folder(test_fraction=0.5)")
