from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.base.stores import place_of
from dce_tf.embedding.image_list import Input, digest, of_list
from dce_tf.embedding.image_table import BLOCK, ImageTable
from dce_tf.embedding.parquet_list import list_images, of_parquet


def write(folder: Path, **columns: object) -> Path:
    path = folder / "list.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_columns_are_ids_labels_and_metadata(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        path=["a.jpg", "./sub//b.jpg", "c.jpg"],
        label=pa.array(["x", None, "y"]).dictionary_encode(),
        id=[3, -4, 5],
        price=[2.5, float("nan"), None],
        good=[True, None, False],
        note=["hello", "", None],
        nothing=pa.nulls(3),
    )
    found = of_parquet(path)
    assert found.root == tmp_path.resolve()
    assert list(found.images) == [
        Input(3, "a.jpg", "x", {"price": 2.5, "good": True, "note": "hello"}),
        Input(-4, "sub/b.jpg", None, {"note": ""}),
        Input(5, "c.jpg", "y", {"good": False}),
    ]


def test_same_list_as_csv_is_the_same_job(tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("path,id,label,n\na.jpg,one,x,1\nb.jpg,two,,2\n")
    path = write(
        tmp_path,
        path=["a.jpg", "b.jpg"],
        id=["one", "two"],
        label=["x", None],
        n=[1, 2],
    )
    assert digest(of_parquet(path).images) == digest(of_list(listing).images)


def test_path_is_the_id_and_integers_are_labels(tmp_path: Path) -> None:
    path = write(tmp_path, path=["a/./b.jpg"], label=[7])
    found = of_parquet(path, root=tmp_path / "images")
    assert list(found.images) == [Input("a/b.jpg", "a/b.jpg", "7")]
    assert found.root == (tmp_path / "images").resolve()


def test_labels_have_one_spelling_in_any_type(tmp_path: Path) -> None:
    paths = ["a.jpg", "b.jpg", "c.jpg"]
    for labels in ([7, None, 8], [7.0, float("nan"), 8.0], ["7 ", " ", "8\u200b"]):
        images = of_parquet(write(tmp_path, path=paths, label=labels)).images
        assert [image.label for image in images] == ["7", None, "8"]
    listing = tmp_path / "list.csv"
    listing.write_text("path,label\na.jpg,7 \nb.jpg,\nc.jpg,8\u200b\n")
    assert [image.label for image in of_list(listing).images] == ["7", None, "8"]


@pytest.mark.parametrize("label", [0.5, float("inf"), True])
def test_label_that_is_no_class_is_refused(tmp_path: Path, label: object) -> None:
    path = write(tmp_path, path=["a.jpg"], label=[label])
    with pytest.raises(ValueError, match=r"row 1: found label .*; expected text or a"):
        list(of_parquet(path).images)


def test_text_becomes_numbers_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path, path=["a.jpg", "b.jpg"], id=["7", "-8"])
    assert [each.id for each in of_parquet(path).images] == ["7", "-8"]
    numbers = of_parquet(path, number_ids=True).images
    assert [each.id for each in numbers] == [7, -8]


def test_folder_of_files_and_store(tmp_path: Path) -> None:
    folder = tmp_path / "list.parquet"
    folder.mkdir()
    for number in range(3):
        pq.write_table(
            pa.table({"path": [f"{number}.jpg"]}), folder / f"{number}.parquet"
        )
    for place in (folder, place_of(f"file://{folder}")):
        found = of_parquet(place)
        assert [each.path for each in found.images] == ["0.jpg", "1.jpg", "2.jpg"]
        assert str(found.root).endswith(str(tmp_path))


def write_two(folder: Path, first: dict, second: dict) -> Path:
    place = folder / "list.parquet"
    place.mkdir()
    for number, columns in enumerate((first, second)):
        pq.write_table(pa.table(columns), place / f"{number}.parquet")
    return place


def test_a_column_may_be_in_some_files_of_a_folder(tmp_path: Path) -> None:
    more = {"path": ["b.jpg"], "label": ["chair"], "price": [5]}
    found = of_parquet(write_two(tmp_path, {"path": ["a.jpg"]}, more))
    assert list(found.images) == [
        Input("a.jpg", "a.jpg"),
        Input("b.jpg", "b.jpg", "chair", {"price": 5}),
    ]


@pytest.mark.parametrize("name", ["label", "code", "id"])
def test_files_that_disagree_about_a_column_are_refused(
    tmp_path: Path, name: str
) -> None:
    place = write_two(
        tmp_path, {"path": ["a.jpg"], name: [7]}, {"path": ["b.jpg"], name: ["007"]}
    )
    with pytest.raises(ValueError, match=f"{name}.*int64.*string"):
        of_parquet(place)


def test_numbers_of_32_bits_are_those_that_people_write(tmp_path: Path) -> None:
    path = write(
        tmp_path, path=["a.jpg", "b.jpg"], price=pa.array([0.1, None], pa.float32())
    )
    assert [each.metadata for each in of_parquet(path).images] == [{"price": 0.1}, {}]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a"]}, r"list\.parquet: found no column 'path' in file"),
        ({"path": [3]}, "column 'path' of type int64; expected text"),
        ({"path": ["a"], "id": [1.5]}, "'id' of type double; expected text or int"),
        ({"path": ["a"], "x": [[1]]}, "'x' of type list.*Convert it or leave it out"),
        ({"path": ["a"], "x": pa.array([0], "date32")}, "of type date32"),
        ({"path": ["a"], 'b"': [1]}, "is no name of a field"),
        ({"path": ["a", "../b"]}, r"row 2: found path '\.\./b'"),
        ({"path": ["a", None]}, "row 2: found path ''"),
        ({"path": ["a", "b"], "id": ["x", None]}, "row 2: found id None"),
        ({"path": ["a", "b"], "id": ["x", ""]}, "row 2: found id ''"),
        ({"path": ["a", "b"], "id": [5, 5]}, "row 2: found id 5 again, first in row 1"),
        ({"path": ["a", "./a"]}, "row 2: found id 'a' again"),
        ({"path": ["a"], "n": [np.inf]}, "row 1: found n = inf; expected a finite"),
        ({"path": pa.array([], pa.string())}, "found no rows"),
    ],
)
def test_list_that_cannot_be_is_refused(
    tmp_path: Path, columns: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        of_parquet(write(tmp_path, **columns))


def test_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    path.write_text("path\na.jpg\n")
    with pytest.raises(ValueError, match=r"cannot be read as Parquet.*column 'path'"):
        of_parquet(path)


def test_each_form_of_a_list_is_told_by_its_name(tmp_path: Path) -> None:
    write(tmp_path, path=["a.jpg", "b.jpg"])
    parts, csv = tmp_path / "parts.parquet", tmp_path / "list.csv"
    parts.mkdir()
    pq.write_table(pa.table({"path": ["c.jpg"]}), parts / "0.parquet")
    csv.write_text("path\nd.jpg\n")
    (tmp_path / "e.jpg").write_bytes(b"")
    found = [
        [each.path for each in list_images(str(where), root=str(tmp_path)).images]
        for where in (tmp_path / "list.parquet", parts, csv, tmp_path)
    ]
    assert found == [["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg"], ["e.jpg"]]
    with pytest.raises(UsageError, match="there is no such file or folder"):
        list_images(str(tmp_path / "away.csv"))


def test_rows_are_a_sequence_of_images() -> None:
    images = [
        Input(number, f"{number}.jpg", "x" if number % 2 else None, {"n": number})
        for number in range(BLOCK + 3)
    ]
    rows = ImageTable.of(images)
    assert len(rows) == len(images)
    assert list(rows) == images
    assert rows[0] == images[0]
    assert rows[-1] == images[-1]
    assert list(rows[BLOCK - 1 : BLOCK + 9]) == images[BLOCK - 1 :]
    assert list(rows[5:2]) == []
    assert list(rows[10:20][3:5]) == images[13:15]
    assert list(ImageTable.of([])) == []
    with pytest.raises(IndexError):
        rows[len(images)]
    with pytest.raises(ValueError, match="A step of 2"):
        rows[::2]
