from pathlib import Path

import numpy as np
import pytest

from dce_tf.datasets.labels import check_names, clean_label, read_labels

NAMES = ["owl", "owl", "Große Katze"]


def written(path: Path, content: bytes | str | np.ndarray) -> Path:
    if isinstance(content, np.ndarray):
        np.save(path, content, allow_pickle=True)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.txt", "owl\nowl\nGroße Katze"),
        ("l.txt", "\ufeffowl\r\n owl \r\nGroße Katze\u00a0\r\n\r\n"),
        ("l", "owl\nowl\u200b\nGrosse Katze\n".replace("ss", "ß")),
        ("l.csv", "owl\nowl\nGroße Katze\n"),
        ("l.csv", "\ufefflabel\nowl\nowl\nGroße Katze\n"),
        ("l.csv", 'path,label\n"a,b",owl\nb,owl\nc,Große Katze\n'),
        ("l.npy", np.array(NAMES)),
        ("l.npy", np.array(NAMES)[:, None]),
        ("l.npy", np.char.encode(np.array(NAMES), "utf-8")),
        ("l.npy", np.array([f"{name} " for name in NAMES])),
    ],
)
def test_labels_are_read_in_one_spelling(tmp_path: Path, name: str, content) -> None:
    assert read_labels(written(tmp_path / name, content)) == NAMES


@pytest.mark.parametrize(
    "labels",
    [
        np.array([1, 1, 20]),
        np.array([1, 1, 20], np.uint8),
        np.array([1, 1, 20], ">i2"),
        np.array([1.0, 1, 20]),
        np.array([[1], [1], [20]], np.float16),
        np.array(["1", "1 ", "20"]),
    ],
)
def test_numbers_are_the_same_labels_in_any_dtype(tmp_path: Path, labels) -> None:
    path = written(tmp_path / "l.npy", labels)
    assert read_labels(path) == ["1", "1", "20"]


def test_wide_integers_are_exact(tmp_path: Path) -> None:
    labels = np.array([2**64 - 1, 2**53 + 1], np.uint64)
    names = read_labels(written(tmp_path / "l.npy", labels))
    assert names == ["18446744073709551615", "9007199254740993"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "l.txt",
            "owl\nGröße".encode("latin-1"),
            "line 2: found bytes that are",
        ),
        ("l.txt", "owl\nkatze".encode("utf-16"), "line 1: found bytes that are not"),
        ("l.txt", "owl\n".encode("utf-16-le"), "found characters of code 0"),
        ("l.txt", "owl\n\nyak\n", "line 2: found an empty label"),
        ("l.txt", "", "the file is empty"),
        ("l.txt", "a.jpg\towl\nb.jpg\towl\n", "line 1: found a tab"),
        ("l.csv", "path,name\na,owl\n", "found no column 'label' in 'path,name'"),
        ("l.csv", "path;label\na;owl\n", "found no column 'label' in 'path;label'"),
        ("l.csv", "path,label\na,owl\nb\n", "line 3: found 1 fields; expected 2"),
        ("l.csv", 'label\n"a"b\n', "found broken CSV"),
        ("l.csv", "path,label\na,\n", "line 2: found an empty label"),
        ("l.npy", b"no array", "cannot be read as .npy"),
        ("l.npy", np.array(["owl", 1], object), "it holds Python objects"),
        ("l.npy", np.array([1.5, 2]), "must be integers; received 1.5 in row 0"),
        ("l.npy", np.array([1, np.nan]), "must be integers; received nan in row 1"),
        ("l.npy", np.array([True, False]), "must be integers; received bool"),
        ("l.npy", np.array([1j]), "must be integers; received complex128"),
        ("l.npy", np.array(["2026-11-29"], "M8[D]"), "must be integers; received date"),
        ("l.npy", np.eye(3), r"must be one per image.* received an array of shape \(3"),
        ("l.npy", np.array(7), "must be one per image"),
        ("l.npy", np.array(["owl", " "]), "row 1: found an empty label"),
        ("l.npy", np.array([b"\xe4"]), "must be text in UTF-8"),
    ],
)
def test_what_is_no_label_is_refused(
    tmp_path: Path, name: str, content, message: str
) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as error:
        read_labels(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_named_without_a_flag_of_others(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.txt: no such file") as error:
        read_labels(tmp_path / "none.txt")
    assert "--data_dir" not in str(error.value)


def test_accents_are_composed_and_what_is_unseen_goes() -> None:
    assert clean_label("\ufeff Cafe\u0301 \u200b") == "Caf\u00e9"
    assert clean_label(" \t") == clean_label("\u200b") == ""


def test_integers_that_became_floats_are_refused() -> None:
    for decimal in ("7.0", "7.", "+7.00"):
        with pytest.raises(ValueError, match=r"x: found the classes '7' and '.*7\.0*'"):
            check_names("x", ["7", decimal])
    assert check_names("x", ["7.0", "8.0", "7.5", "1.0.0", "v7"]) == ()


@pytest.mark.parametrize(
    "names", [("Owl", "owl"), ("a  b", "a b"), ("07", "7"), ("STRASSE", "straße")]
)
def test_names_that_look_alike_are_reported(names: tuple[str, str]) -> None:
    (warning,) = check_names("x", [*names, "other"])
    assert warning.startswith("1 classes differ from another only in case")
    assert all(repr(name) in warning for name in names)
