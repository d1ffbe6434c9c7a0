import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.base.stores import place_of
from dce_tf.datasets import DATASETS
from dce_tf.datasets.merging import merge
from dce_tf.embedding.image_list import (
    Input,
    Inputs,
    digest,
    of_data_set,
    of_folder,
    of_list,
)
from tests import fakes


def write_list(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_list_gives_ids_labels_and_metadata(tmp_path: Path) -> None:
    path = write_list(
        tmp_path,
        "path,label,id,price,code,note\n"
        "a.jpg,x,one,2.5,007,hello\n"
        "sub/./b.jpg,,two,3,12,\n"
        'c.jpg,y,"th,ree",,3,"a ""b"""\n',
    )
    found = of_list(path)
    assert found.root == tmp_path.resolve()
    assert found.images == [
        Input("one", "a.jpg", "x", {"price": 2.5, "code": "007", "note": "hello"}),
        Input("two", "sub/b.jpg", None, {"price": 3, "code": "12"}),
        Input("th,ree", "c.jpg", "y", {"code": "3", "note": 'a "b"'}),
    ]


def test_path_is_the_id_where_none_is_given(tmp_path: Path) -> None:
    found = of_list(write_list(tmp_path, "path\na/b.jpg\n"), root=tmp_path / "images")
    assert found.images == [Input("a/b.jpg", "a/b.jpg")]
    assert found.root == (tmp_path / "images").resolve()


def test_ids_are_numbers_when_asked(tmp_path: Path) -> None:
    path = write_list(tmp_path, "id,path\n7,a.jpg\n-8,b.jpg\n")
    assert [each.id for each in of_list(path).images] == ["7", "-8"]
    assert [each.id for each in of_list(path, number_ids=True).images] == [7, -8]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.jpg,x\n", r"line 1: found no column 'path'"),
        ("paht\na.jpg\n", "Did you mean 'paht'|no column 'path'"),
        ("path,x,x\na.jpg,1,2\n", "line 1: found a column 'x' that is there twice"),
        ('path,"a\\b"\na.jpg,1\n', "is no name of a field"),
        ("path,label\na.jpg\n", "line 2: found 1 fields; expected 2"),
        ("path\n../a.jpg\n", r"line 2: found path '\.\./a\.jpg'"),
        ("path\n/etc/passwd\n", "line 2: found path '/etc/passwd'"),
        ("path\na/../../b.jpg\n", "line 2: found path"),
        ("path\nC:\\b.jpg\n", "line 2: found path"),
        (
            "path,id\na.jpg,x\nb.jpg,x\n",
            "line 3: found id 'x' again, first in .*line 2",
        ),
        ("path\na.jpg\n./a.jpg\n", r"line 3: found id 'a\.jpg' again"),
        ("path,id\na.jpg,\n", "line 2: found id ''"),
        ("", "the file is empty"),
    ],
)
def test_list_that_cannot_be_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        of_list(write_list(tmp_path, text))


@pytest.mark.parametrize(
    "number", ["x", "1.5", "", "9" * 30, "007", "1_0", "+5", "\u0663"]
)
def test_id_that_is_no_number_is_refused(tmp_path: Path, number: str) -> None:
    path = write_list(tmp_path, f"path,id\na.jpg,{number}\n")
    with pytest.raises(ValueError, match=r"line 2: found id .* as of --number_ids"):
        of_list(path, number_ids=True)


def test_folder_is_listed_at_any_depth_without_what_is_hidden(tmp_path: Path) -> None:
    for name in (
        "b/c.PNG",
        "a.jpg",
        ".a.jpg",
        ".git/a.jpg",
        "b/notes.txt",
        "b/d/e.webp",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = of_folder(tmp_path)
    assert found.images == [
        Input(name, name) for name in ("a.jpg", "b/c.PNG", "b/d/e.webp")
    ]
    with pytest.raises(ValueError, match=r"found no image; expected .*\.webp"):
        of_folder(tmp_path / "b" / "none")


def test_images_of_other_kinds_are_listed_to_be_told_of(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.HEIC", "c.tif", "d.svg", "e.avif", "f.txt"):
        (tmp_path / name).touch()
    found = [image.path for image in of_folder(tmp_path).images]
    assert found == ["a.jpg", "b.HEIC", "c.tif", "d.svg", "e.avif"]


def test_store_is_listed_like_a_folder(tmp_path: Path) -> None:
    for name in ("b c/d.PNG", "a.jpg", ".a.jpg", ".git/a.jpg", "b c/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = of_folder(place_of(f"file://{tmp_path}"))
    assert found.images == of_folder(tmp_path).images
    assert str(found.root) == f"file://{tmp_path}"


def test_list_in_a_store_is_read_like_a_file(tmp_path: Path) -> None:
    path = write_list(tmp_path, "path,label,n\na/b.jpg,x,3\nc.jpg,,\n")
    found = of_list(place_of(f"file://{path}"))
    assert found.images == of_list(path).images
    assert str(found.root) == f"file://{tmp_path}"
    assert (found.root / "a/b.jpg").parent == found.root / "a"
    path.write_text("path\n../a.jpg\n")
    with pytest.raises(ValueError, match=rf"file://{path}, line 2: found path"):
        of_list(place_of(f"file://{path}"))
    with pytest.raises(ValueError, match=r"file:///no\.csv: no such file"):
        of_list(place_of("file:///no.csv"))


def test_splits_of_a_data_set(tmp_path: Path) -> None:
    fakes.write_csv(tmp_path, 3, 2, splits=("train", "query", "gallery"))
    splits = DATASETS.build("csv", data_dir=str(tmp_path))

    def found(name: str) -> list[str]:
        inputs = of_data_set(splits, name, str(tmp_path))
        assert inputs.root == tmp_path
        assert all((tmp_path / each.path).is_file() for each in inputs.images)
        assert all(each.id == each.path for each in inputs.images)
        return [each.metadata["split"] for each in inputs.images]

    assert found("gallery") == ["gallery"] * 6
    assert found("query") == ["query"] * 6
    assert found("test") == ["gallery"] * 6 + ["query"] * 6
    assert found("train") == ["train"] * 6
    assert found("all") == ["train"] * 6 + ["gallery"] * 6 + ["query"] * 6
    with pytest.raises(UsageError, match="--split=val: the data set has no"):
        found("val")
    labels = {each.label for each in of_data_set(splits, "query", None).images}
    assert len(labels) == 3


def test_sources_that_are_not_merged_are_embedded_too(tmp_path: Path) -> None:
    read = {}
    for name in ("drawn", "shop", "shelf"):
        fakes.write_csv(tmp_path / name, 3, 2)
        read[name] = DATASETS.build("csv", data_dir=str(tmp_path / name))
    (test,) = read["drawn"].tests
    drawn = dataclasses.replace(test, num_galleries=10)
    read["drawn"] = dataclasses.replace(read["drawn"], tests=(drawn, test))
    for names in (["drawn", "shop"], ["drawn", "shop", "shelf"]):
        mix = merge({name: read[name] for name in names})
        for split in ("test", "gallery", "query", "all"):
            images = of_data_set(mix, split, str(tmp_path)).images
            tests = [each for each in images if each.metadata["split"] != "train"]
            assert len(tests) == len(names) * 6
            assert {each.metadata["source"] for each in tests} == set(names)


def test_root_is_found_where_it_is_not_given(tmp_path: Path) -> None:
    fakes.write_csv(tmp_path, 3, 2)
    splits = DATASETS.build("csv", data_dir=str(tmp_path))
    for data_dir in (None, str(tmp_path / "index.csv")):
        found = of_data_set(splits, "test", data_dir)
        assert found.root.is_relative_to(tmp_path)
        assert all((found.root / each.path).is_file() for each in found.images)
        assert len(found.images) == 6


def test_shards_share_all_images_in_ranges() -> None:
    inputs = Inputs(Path(), [Input(str(number), "p") for number in range(10)])
    for num_shards in (1, 3, 10, 12):
        parts = [
            inputs.part_of(shard, num_shards).images for shard in range(num_shards)
        ]
        assert [each.id for part in parts for each in part] == list("0123456789")
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_digest_tells_any_change() -> None:
    images = [Input("a", "a.jpg"), Input("b", "b.jpg", "x", {"n": 1})]
    others = [
        images[:1],
        images[::-1],
        [images[0], Input("b", "b.jpg", "x", {"n": 2})],
        [images[0], Input("b", "c.jpg", "x", {"n": 1})],
        [images[0], Input("b", "b.jpg", None, {"n": 1})],
        [Input(1, "a.jpg"), images[1]],
    ]
    assert digest(list(images)) == digest(images)
    assert len({digest(each) for each in [images, *others]}) == 7
    assert np.all([len(digest(each)) == 64 for each in others])


def test_images_of_a_mix_say_of_which_source_they_are(tmp_path: Path) -> None:
    root = fakes.write_mix(tmp_path, 3, 2, ("train", "query", "gallery"))
    splits = DATASETS.build("mix(csv=shop, folder=shelf)", data_dir=str(root))
    found = of_data_set(splits, "test", str(root))
    assert found.root == root
    by_source = {each.metadata["source"]: each for each in found.images}
    assert by_source["shop"].metadata == {"split": "gallery", "source": "shop"}
    assert by_source["shelf"].metadata == {"split": "query", "source": "shelf"}
    assert by_source["shelf"].label.startswith("shelf/id_")
    # Those that are query and gallery are there once.
    assert len(found.images) == 6 + 2 * 6
    assert len(of_data_set(splits, "gallery", None).images) == 6 + 6
