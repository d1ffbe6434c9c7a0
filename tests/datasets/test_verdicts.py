import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dce_tf.datasets import Splits
from dce_tf.datasets.csv_index import read_csv
from dce_tf.datasets.index_writing import write_index
from dce_tf.datasets.verdicts import Verdicts, data_folder, read_verdicts
from tests import fakes


def written(tmp_path: Path, *lines: str, name: str = "findings.csv") -> Path:
    file = tmp_path / name
    head = "path,finding,score,other_path,class,verdict"
    file.write_text("\n".join([head, *lines, ""]))
    return file


def line(path: str, verdict: str) -> str:
    return f"{path},duplicate,0.9,other.jpg,apple,{verdict}"


def read(tmp_path: Path, *verdicts: tuple[str, str]) -> Verdicts:
    lines = [line(path, verdict) for path, verdict in verdicts]
    return read_verdicts([written(tmp_path, *lines)], tmp_path)


def test_verdicts_are_read_in_any_spelling(tmp_path: Path) -> None:
    verdicts = read(
        tmp_path,
        ("a/1.jpg", "drop"),
        ("a/../a/2.jpg", " Relabel = pear "),
        ("a/3.jpg", ""),
        ("a/4.jpg", "keep"),
        ("/elsewhere/5.jpg", "DROP"),
    )
    first, second = str(tmp_path / "a/1.jpg"), str(tmp_path / "a/2.jpg")
    assert verdicts.dropped == {first, "/elsewhere/5.jpg"}
    assert verdicts.relabelled == {second: "pear"}
    assert verdicts.class_of(first, "apple") is None
    assert verdicts.class_of(second, "apple") == "pear"
    assert verdicts.class_of(str(tmp_path / "a/3.jpg"), "apple") == "apple"


def test_a_line_that_keeps_an_image_does_not_save_it_from_another(tmp_path) -> None:
    one = written(tmp_path, line("1.jpg", "keep"), line("1.jpg", "drop"))
    two = written(tmp_path, line("1.jpg", "drop"), line("1.jpg", ""), name="two.csv")
    assert read_verdicts([one, two], tmp_path).dropped == {str(tmp_path / "1.jpg")}


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("dorp", "line 2: found the verdict 'dorp'; expected nothing or one of keep"),
        ("relabel=", "found the verdict 'relabel='"),
        ("drop=x", "found the verdict 'drop=x'"),
        ("pear", "found the verdict 'pear'"),
    ],
)
def test_what_is_no_verdict_is_refused(tmp_path: Path, verdict: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(tmp_path, ("1.jpg", verdict))


def test_contradictions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'relabel=pear' for 1.jpg, and 'drop' in"):
        read(tmp_path, ("1.jpg", "drop"), ("1.jpg", "relabel=pear"))


def test_tables_without_the_columns_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv"
    file.write_text("path,verdct\n1.jpg,drop\n")
    with pytest.raises(ValueError, match=r"no column 'verdict'.*verdct"):
        read_verdicts([file], None)
    file.write_text("path,verdict\n1.jpg\n")
    with pytest.raises(ValueError, match="line 2: found 1 fields"):
        read_verdicts([file], None)


def test_images_of_another_data_set_are_told(tmp_path: Path) -> None:
    verdicts = read(tmp_path, ("1.jpg", "drop"), ("2.jpg", "relabel=x"))
    verdicts.check_known([str(tmp_path / "1.jpg"), str(tmp_path / "x/../2.jpg")])
    with pytest.raises(ValueError, match=r"1 of 2 images .* first is .*2\.jpg"):
        verdicts.check_known([str(tmp_path / "1.jpg")])


def test_findings_are_relative_to_the_folder_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "index.csv").touch()
    assert data_folder(str(tmp_path)) == tmp_path
    assert data_folder(str(tmp_path / "index.csv")) == tmp_path
    assert data_folder(None) is None


@pytest.fixture
def splits(tmp_path: Path) -> Splits:
    return read_csv(str(fakes.write_csv(tmp_path, 3, images_per_class=3)))


def test_index_is_written_without_the_dropped_and_with_the_relabelled(
    tmp_path: Path, splits: Splits
) -> None:
    train = splits.train
    dropped, moved = train.paths[0], train.paths[1]
    name = train.class_names[(train.labels[1] + 1) % 3]
    verdicts = Verdicts(frozenset([dropped]), {moved: name})
    write_index(splits, tmp_path / "mended.csv", verdicts)
    mended = read_csv(str(tmp_path / "mended.csv"))
    assert dropped not in mended.train.paths
    assert len(mended.train) == len(train) - 1
    row = mended.train.paths.index(moved)
    assert mended.train.class_names[mended.train.labels[row]] == name
    assert mended.query.paths == splits.query.paths
    assert Path(dropped).is_file()


def test_groups_and_super_classes_are_kept(tmp_path: Path, splits: Splits) -> None:
    count = len(splits.train)
    groups = np.arange(count, dtype=np.int32) // 2 - 1
    supers = np.arange(count, dtype=np.int32) % 2
    train = dataclasses.replace(splits.train, groups=groups, super_classes=supers)
    write_index(dataclasses.replace(splits, train=train), tmp_path / "all.csv")
    written = read_csv(str(tmp_path / "all.csv")).train
    assert written.paths == train.paths
    for found, given in (
        (written.groups, groups),
        (written.super_classes, supers),
    ):
        # Numbers may be others; what is together stays together, unknown stays so.
        pairs = set(zip(found.tolist(), given.tolist(), strict=True))
        assert len(pairs) == len(set(given.tolist()))
        assert np.array_equal(found < 0, given < 0)


def test_verdicts_that_leave_no_data_set_write_nothing(
    tmp_path: Path, splits: Splits
) -> None:
    tested = splits.query.class_names[0]
    file = tmp_path / "mended.csv"
    verdicts = Verdicts(frozenset(), {splits.train.paths[0]: tested})
    with pytest.raises(ValueError, match=r"--verdicts leaves is no data set.*mended"):
        write_index(splits, file, verdicts)
    assert not file.exists()
    verdicts = Verdicts(frozenset(splits.query.paths), {})
    with pytest.raises(ValueError, match="no data set"):
        write_index(splits, file, verdicts)
