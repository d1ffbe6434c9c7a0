"""What a folder is taken for, and the sentence where nothing can be made of it."""

from pathlib import Path

import pytest
from PIL import Image

from dce_tf.base.errors import UsageError
from dce_tf.quickstart.looking import describe, look
from tests import fakes


def write_classes(root: Path, *sizes: int, side: int = 32) -> Path:
    for number, size in enumerate(sizes):
        (root / f"class{number}").mkdir(parents=True, exist_ok=True)
        for image in range(size):
            file = root / f"class{number}" / f"{image}.png"
            Image.new("RGB", (side + 10, side), (number * 9, image, 0)).save(file)
    return root


def test_a_folder_for_each_class_is_dealt_out(tmp_path: Path) -> None:
    found = look(str(write_classes(tmp_path / "my photos", *[3] * 9, 5, side=50)))
    assert found.dataset == "folder(test_fraction=0.2)"
    assert (found.side, found.num_images, found.name) == (50, 32, "my photos")
    assert found.megapixels == pytest.approx(0.003)
    assert len(found.splits.query.class_names) == 2
    assert describe(found) == (
        f"{tmp_path}/my photos: 32 images of 10 classes, 3 to 5 (median 3) per class; "
        "the shorter side is 50 pixels (median)."
    )


def test_splits_that_are_there_are_kept(tmp_path: Path) -> None:
    assert look(str(fakes.write_folder(tmp_path / "a", 2, 2))).dataset == "folder"
    root = fakes.write_csv(tmp_path / "b", 2, 2)
    for path in (root, root / "index.csv"):
        found = look(str(path))
        assert found.dataset == "csv"
        assert found.num_images == 8
        assert "8 images of 4 classes, 2 per class" in describe(found)
    assert found.name == "index"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "there is no such folder"),
        ([], "that folder is empty"),
        (["config.json"], "that is a run already. `python main.py embed"),
        (["manifest.json", "records.sqlite"], "that is an index already"),
        (["part-0001-of-0001-0000.parquet"], "those are embeddings"),
    ],
)
def test_what_holds_no_photographs_is_named(
    tmp_path: Path, files: list[str] | None, message: str
) -> None:
    root = tmp_path / "given"
    if files is not None:
        root.mkdir()
        for name in files:
            (root / name).touch()
    with pytest.raises(UsageError, match=message) as error:
        look(str(root))
    assert str(root) in str(error.value)
    assert "a folder of photographs for each class" in str(error.value)


def test_a_single_photograph_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(UsageError, match="that is a file"):
        look(str(tmp_path / "cat.jpg"))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((5,), "found 1 classes, 1 of them with two images or more; expected 4 such"),
        ((1, 1, 1, 1, 1), "found 5 classes, 0 of them with two images or more"),
        ((2, 2, 2, 1), "found 4 classes, 3 of them"),
    ],
)
def test_too_few_classes_are_counted(
    tmp_path: Path, sizes: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        look(str(write_classes(tmp_path, *sizes)))


def test_loose_images_are_told_where_to_go(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "cat.png")
    with pytest.raises(ValueError, match="Move it into the folder of its class"):
        look(str(tmp_path))


def test_images_that_none_can_open_are_told(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / name).mkdir()
        for number in range(2):
            (tmp_path / name / f"{number}.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="None of 8 images that were looked at can be"):
        look(str(tmp_path))
    Image.new("RGB", (40, 30)).save(tmp_path / "a" / "0.jpg")
    assert look(str(tmp_path)).side == 30
