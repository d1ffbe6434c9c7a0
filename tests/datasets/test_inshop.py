import shutil
from pathlib import Path

import pytest

from dce_tf.datasets import DATASETS, Splits, inshop
from tests import fakes


def read(root: Path, allow_partial_data: bool = True) -> Splits:
    return DATASETS.build(
        "inshop", data_dir=str(root), allow_partial_data=allow_partial_data
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return fakes.write_inshop(tmp_path / "data", num_classes=3, images_per_class=2)


def edit(tree: Path, number: int, line: str) -> None:
    path = tree / "Eval" / "list_eval_partition.txt"
    lines = path.read_text().split("\n")
    lines[number - 1] = line
    path.write_text("\n".join(lines))


def test_official_layout_is_read(tree: Path) -> None:
    splits = read(tree)
    assert [len(s) for s in (splits.train, splits.query, splits.gallery)] == [6, 6, 6]
    assert splits.train.paths[0] == f"{tree}/Img/img/train/id_00000000/00.jpg"
    assert all(Path(path).is_file() for path in splits.train.paths)
    assert splits.train.class_names == ("id_00000000", "id_00000001", "id_00000002")
    assert splits.query.class_names == splits.gallery.class_names
    assert splits.recall_at == (1, 10, 20, 30, 40, 50)


def test_list_file_may_lie_at_the_top_and_images_without_img(tree: Path) -> None:
    (tree / "Eval" / "list_eval_partition.txt").rename(tree / "list_eval_partition.txt")
    (tree / "Img" / "img").rename(tree / "img")
    assert read(tree).train.paths[0].startswith(f"{tree}/img/train/")


@pytest.mark.parametrize("name", ["In-shop Clothes Retrieval Benchmark", "Inshop"])
def test_folder_above_may_be_given(tree: Path, name: str) -> None:
    tree.rename(tree.parent / name)
    (tree.parent / "cub").mkdir()
    assert len(read(tree.parent).train) == 6


def test_single_folder_below_may_have_any_name(tree: Path) -> None:
    assert len(read(tree.parent).train) == 6
    (tree.parent / "another").mkdir()
    with pytest.raises(ValueError, match=r"found no list_eval_partition\.txt"):
        read(tree.parent)


def test_wrong_counts_are_refused_unless_allowed(tree: Path) -> None:
    message = (
        r"list_eval_partition\.txt: found 18 images by line 1 \(expected 52,712\), "
        r"6 train images \(expected 25,882\), 3 train classes \(expected 3,997\), "
        r"6 query images \(expected 14,218\), 6 gallery images \(expected 12,612\), "
        r"3 test classes \(expected 3,985\)\..* --allow_partial_data"
    )
    with pytest.raises(ValueError, match=message):
        read(tree, allow_partial_data=False)
    (warning,) = read(tree).warnings
    assert "6 train images (expected 25,882)" in warning


def test_right_counts_need_no_allowance(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = dict(zip(inshop._COUNTS, (18, 6, 3, 6, 6, 3), strict=True))
    monkeypatch.setattr(inshop, "_COUNTS", counts)
    assert read(tree, allow_partial_data=False).warnings == ()
    monkeypatch.setitem(counts, "images by line 1", 17)
    edit(tree, 1, "17")
    with pytest.raises(ValueError, match=r"18 lines of images \(expected 17\)"):
        read(tree, allow_partial_data=False)


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (1, "many", r"line 1: found 'many'; expected the number of images"),
        (2, "image item status", r"line 2: found header 'image item status'; expected"),
        (3, "img/a.jpg id_1", r"line 3: found 2 fields; expected 3"),
        (3, "img/a.jpg id_1 test", r"line 3: found status 'test'; expected one of"),
        (3, "img/a.jpg id_1 galery", r"galery'.* Did you mean 'gallery'"),
        (3, "../a.jpg id_1 train", r"line 3: found path '\.\./a\.jpg'"),
        (9, "img/a.jpg id_00000000 query", r"line 9: found class 'id_00000000' in bo"),
    ],
)
def test_bad_line_is_named(tree: Path, number: int, line: str, message: str) -> None:
    edit(tree, number, line)
    with pytest.raises(ValueError, match=message) as error:
        read(tree)
    assert str(tree / "Eval" / "list_eval_partition.txt") in str(error.value)


def test_list_of_one_line_lacks_its_header(tree: Path) -> None:
    (tree / "Eval" / "list_eval_partition.txt").write_text("52712")
    with pytest.raises(ValueError, match="line 2: found header ''"):
        read(tree)


def test_missing_images_folder_is_named(tree: Path) -> None:
    shutil.rmtree(tree / "Img")
    with pytest.raises(ValueError, match=r"data: found neither Img/img/ nor img/"):
        read(tree)


def test_query_without_gallery_image_is_reported(tree: Path) -> None:
    edit(tree, 9, "img/x.jpg id_new query")
    assert [w for w in read(tree).warnings if "'id_new'" in w and "misses" in w]
