from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS, Splits
from dce_tf.datasets.checks import require_train
from tests import fakes

HEAD = "path,label,split"
TRAIN = ["a/1.jpg,cat,train", "a/2.jpg,cat,train", "a/3.jpg,dog,train"]
TEST = ["a/4.jpg,owl,test", "a/5.jpg,owl,test"]


def read(root: Path, lines: list[str], head: str = HEAD) -> Splits:
    (root / "index.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    return DATASETS.build("csv", data_dir=str(root), allow_partial_data=False)


def test_rows_keep_the_order_of_the_file_and_paths_the_folder(tmp_path: Path) -> None:
    splits = read(tmp_path, [TRAIN[2], *TEST, *TRAIN[:2]])
    assert splits.train.paths == tuple(f"{tmp_path}/a/{i}.jpg" for i in (3, 1, 2))
    assert splits.train.class_names == ("cat", "dog")
    assert splits.train.labels.tolist() == [1, 0, 0]
    assert splits.train.labels.dtype == np.int32
    assert splits.val is None
    assert splits.warnings == ()
    assert splits.recall_at == (1, 2, 4, 8)


def test_test_is_searched_within_itself(tmp_path: Path) -> None:
    splits = read(tmp_path, [*TRAIN, *TEST])
    assert splits.leave_one_out
    assert splits.query.class_names == ("owl",)


def test_query_and_gallery_number_their_classes_alike(tmp_path: Path) -> None:
    rest = ["q,yak,query", "g1,ant,gallery", "g2,yak,gallery", "v,bee,val", "w,bee,val"]
    splits = read(tmp_path, [*TRAIN, *rest])
    assert splits.query.class_names == splits.gallery.class_names == ("ant", "yak")
    assert splits.query.labels.tolist() == [1]
    assert splits.gallery.labels.tolist() == [0, 1]
    assert splits.query.paths == (f"{tmp_path}/q",)
    assert splits.val is not None
    assert splits.val.class_names == ("bee",)
    assert splits.warnings == ()


def test_data_dir_may_be_a_file_of_any_name(tmp_path: Path) -> None:
    fakes.write_csv(tmp_path)
    table = (tmp_path / "index.csv").rename(tmp_path / "table.txt")
    splits = DATASETS.build("csv", data_dir=str(table))
    assert len(splits.train) == len(splits.query) == 48
    assert Path(splits.train.paths[0]).is_file()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_blank_lines_quotes_and_spaces_pass(
    tmp_path: Path, newline: str
) -> None:
    lines = [f"{HEAD},group", "", '"my, cat.jpg",Große Katze, train,g', "b,x,train,"]
    lines += ["./c//d.jpg,x,train,h", "t,owl,test,", "u,owl,test,"]
    text = "\ufeff" + newline.join(lines) + newline
    (tmp_path / "index.csv").write_bytes(text.encode())
    splits = DATASETS.build("csv", data_dir=str(tmp_path))
    paths = [path.removeprefix(f"{tmp_path}/") for path in splits.train.paths]
    assert paths == ["my, cat.jpg", "b", "c/d.jpg"]
    assert splits.train.class_names == ("Große Katze", "x")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["x.jpg,cat"], r"line 2: found 2 fields; expected 3"),
        (["x.jpg,cat,train,,"], r"line 2: found 5 fields; expected 3"),
        (["x.jpg,cat,trian"], r"line 2: found split 'trian'.* mean 'train'"),
        (["x.jpg,,train"], r"line 2: found an empty label"),
        ([",cat,train"], r"line 2: found path ''"),
        (["../x.jpg,cat,train"], r"line 2: found path '\.\./x\.jpg'.* root"),
        (["a/../../x,cat,train"], r"line 2: found path 'a/\.\./\.\./x'"),
        (["/etc/x.jpg,cat,train"], r"line 2: found path '/etc/x\.jpg'"),
        ([r"C:\x.jpg,cat,train"], r"line 2: found path 'C:"),
        (
            ["x,cat,train", "./x,cat,train"],
            r"line 3: found '.*/x' again, after .* line 2",
        ),
        (['"x"y,cat,train'], r"line 2: found broken CSV"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=rf"index\.csv, {message}") as error:
        read(tmp_path, [*lines, *TRAIN, *TEST])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "found no images; expected test, or query and gallery"),
        (TRAIN, "found 3 images in train; expected test, or query and gallery"),
        ([*TRAIN, "q,owl,query"], "1 images in query; expected query and gallery"),
        ([*TRAIN, "g,owl,gallery"], "1 images in gallery; expected query and gallery"),
        ([*TRAIN, *TEST, "q,owl,query"], "expected either test or query and gallery"),
        ([*TRAIN, *TEST, "t,dog,test"], "line 7: found class 'dog' in both train and"),
        ([*TRAIN, *TEST, "t,dog,val"], "line 7: found class 'dog' in both .* and val"),
        (
            [*TRAIN, "q,owl,query", "g,owl,gallery", "h,cat,gallery"],
            "line 7: found class 'cat' in both train and gallery",
        ),
        ([*TRAIN[:2], *TEST], "found only class 'cat' in train"),
        ([*TRAIN[1:], *TEST], "found no train class with two images among 2"),
    ],
)
def test_splits_that_do_not_fit_are_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, lines)
    assert str(tmp_path / "index.csv") in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_header_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 1: found header 'file;class;split'"):
        read(tmp_path, TRAIN, head="file;class;split")


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "index.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"index\.csv: the file is empty"):
        DATASETS.build("csv", data_dir=str(tmp_path))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_bytes(f"{HEAD}\nx,Größe,train".encode("latin-1"))
    with pytest.raises(ValueError, match="line 2: found bytes that are not UTF-8"):
        DATASETS.build("csv", data_dir=str(tmp_path))


def test_missing_file_or_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"index\.csv: no such file; expected a CSV"):
        DATASETS.build("csv", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        DATASETS.build("csv", data_dir=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("dataset", ["csv", "folder", "inshop"])
@pytest.mark.parametrize("data_dir", [None, ""])
def test_data_dir_is_asked_for(dataset: str, data_dir: str | None) -> None:
    with pytest.raises(UsageError, match=f"{dataset} received no --data_dir"):
        DATASETS.build(dataset, data_dir=data_dir, allow_partial_data=False)


def test_queries_without_a_match_stay_and_are_reported(tmp_path: Path) -> None:
    rest = ["q1,owl,query", "q2,yak,query", "g1,owl,gallery"]
    splits = read(tmp_path, [*TRAIN, *rest])
    assert len(splits.query) == 2
    assert [w for w in splits.warnings if "1 classes of query" in w and "'yak'" in w]


def test_lone_images_of_val_and_test_are_reported(tmp_path: Path) -> None:
    val = ["v,emu,val", "w,fox,val", "x,fox,val"]
    splits = read(tmp_path, [*TRAIN, *TEST, "t,yak,test", *val])
    assert len(splits.warnings) == 2
    assert "1 classes of test have one image" in splits.warnings[0]
    assert "'yak'" in splits.warnings[0]
    assert "1 classes of val have one image" in splits.warnings[1]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["t,owl,test", "u,yak,test"], "one image of each of 2 classes in test"),
        ([*TEST, "v,emu,val"], "one image of each of 1 classes in val"),
        (
            ["q,owl,query", "g,yak,gallery"],
            "no class of query in gallery, e.g. 'owl'; gallery has such as 'yak'",
        ),
    ],
)
def test_search_that_can_find_nothing_is_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, [*TRAIN, *lines])


def test_data_without_a_train_split_are_read_for_evaluation(tmp_path: Path) -> None:
    splits = read(tmp_path, TEST)
    assert len(splits.train) == 0
    assert len(splits.query) == 2
    assert list(splits.parts()) == ["test"]
    with pytest.raises(ValueError, match="here: found no images in train"):
        require_train(splits, "here")


def test_a_class_in_two_spellings_of_a_number_is_refused(tmp_path: Path) -> None:
    lines = ["q,7,query", "g,7.0,gallery", "h,7,gallery"]
    with pytest.raises(ValueError, match=r"found the classes '7' and '7\.0'"):
        read(tmp_path, [*TRAIN, *lines])


def test_names_that_look_alike_are_one_class_or_reported(tmp_path: Path) -> None:
    decomposed = "Cafe\u0301"
    lines = [
        f"q,{decomposed},query",
        "g,Caf\u00e9\u200b,gallery",
        "h,CAF\u00c9,gallery",
    ]
    splits = read(tmp_path, [*TRAIN, *lines])
    assert splits.gallery.class_names == ("CAF\u00c9", "Caf\u00e9")
    assert splits.query.labels.tolist() == [1]
    (warning,) = splits.warnings
    assert "differ from another only in case" in warning


def test_classes_in_val_and_test_are_reported(tmp_path: Path) -> None:
    splits = read(tmp_path, [*TRAIN, *TEST, "v,owl,val", "w,owl,val"])
    assert [w for w in splits.warnings if "both val and the test" in w and "'owl'" in w]
