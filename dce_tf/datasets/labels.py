"""Labels, whichever door they come in by: files, arrays, and the names in a list."""

from __future__ import annotations

import collections
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import first_line
from dce_tf.datasets.listing import iterate_csv, read_text

_CONTENT = "one label per line, or a CSV file with a column 'label',"

# What looks like nothing, and strip() leaves: byte order mark, zero-width characters.
_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"

_DECIMAL = re.compile(r"[+-]?\d+\.0*")


def clean_label(text: str) -> str:
    """Returns the name of a class in its one spelling.

    White space and characters without width around it go, and letters with accents
    are composed (Unicode's form NFC), as file systems and programs differ in both.
    """
    if text.isascii():
        return text.strip()
    stripped = unicodedata.normalize("NFC", text).strip()
    while stripped and (stripped[0] in _UNSEEN or stripped[-1] in _UNSEEN):
        stripped = stripped.strip(_UNSEEN).strip()
    return stripped


def clean_labels(names: Iterable[str]) -> list[str]:
    """Returns the names of many images as `clean_label` does, each name once."""
    known: dict[str, str] = {}
    return [
        known[name] if name in known else known.setdefault(name, clean_label(name))
        for name in names
    ]


def check_names(source: Path | str, names: Iterable[str]) -> tuple[str, ...]:
    """Looks for classes that may be one, spelled in two ways.

    Args:
        source: Where they stand, for the error.
        names: The classes of all splits, cleaned; each may occur often.

    Returns:
        A warning if some differ only in case, white space or leading zeros.

    Raises:
        ValueError: If one is a number with and without decimals, such as 1 and 1.0:
            the mark of labels that became floats on one side.
    """
    classes = sorted(set(names))
    known = set(classes)
    for name in classes:
        if _DECIMAL.fullmatch(name):
            whole = str(int(name.split(".")[0]))
            if whole in known:
                raise ValueError(
                    f"{source}: found the classes {whole!r} and {name!r}, which are "
                    "one number; expected each class in one spelling. Write the labels "
                    "as integers throughout."
                )
    alike = collections.defaultdict(list)
    for name in classes:
        alike[_key(name)].append(name)
    pairs = [group for group in alike.values() if len(group) > 1]
    if not pairs:
        return ()
    return (
        f"{len(pairs)} classes differ from another only in case, white space or "
        f"leading zeros, and count as different ones, e.g. {pairs[0][0]!r} and "
        f"{pairs[0][1]!r}.",
    )


def _key(name: str) -> str:
    key = " ".join(name.casefold().split())
    return str(int(key)) if key.isdecimal() else key


def whole_labels(labels: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Returns labels that are numbers as integers, exactly.

    Args:
        labels: Integers of any width, `(num_images,)` or `(num_images, 1)`; or floats
            that are whole, and small enough for their dtype to tell each from the next.
        name: Whose they are, for an error.

    Returns:
        int64 `(num_images,)`; Python's integers where one does not fit.

    Raises:
        ValueError: If they are anything else.
    """
    array = _column(np.asarray(labels), name)
    if np.issubdtype(array.dtype, np.integer):
        fits = array.dtype != np.uint64 or array.max(initial=0) < 2**63
        return array.astype(np.int64 if fits else object)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"The labels of {name} must be integers; received {array.dtype}. Number "
            "the classes of all images together: np.unique(names, "
            "return_inverse=True)[1]."
        )
    bad = np.flatnonzero(~np.isfinite(array) | (array != np.round(array)))
    if len(bad):
        raise ValueError(
            f"The labels of {name} must be integers; received {array[bad[0]]} in row "
            f"{bad[0]} (from 0). Give each image the number of its class."
        )
    limit = 2.0 ** (1 + np.finfo(array.dtype).nmant)
    bad = np.flatnonzero(np.abs(array.astype(np.float64)) >= min(limit, 2.0**63))
    if len(bad):
        raise ValueError(
            f"The labels of {name} must be integers; received {array[bad[0]]} as "
            f"{array.dtype}, which cannot tell integers of {limit:.0f} or more apart. "
            "Pass them as int64."
        )
    return array.astype(np.int64)


def label_names(labels: npt.ArrayLike, name: str) -> list[str]:
    """Returns labels as names of classes: numbers as `whole_labels`, or text.

    Args:
        labels: Integers, whole floats, text or UTF-8 bytes, `(num_images,)` or
            `(num_images, 1)`.
        name: Whose they are, for an error.

    Raises:
        ValueError: If they are anything else, or one is empty.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "US":
        return [str(label) for label in whole_labels(array, name).tolist()]
    texts = _column(array, name).tolist()
    if array.dtype.kind == "S":
        try:
            texts = [text.decode() for text in texts]
        except UnicodeDecodeError as error:
            raise ValueError(
                f"The labels of {name} must be text in UTF-8; received "
                f"{error.object!r}. Convert them."
            ) from error
    return _none_empty(clean_labels(texts), f"{name}, row", 0)


def label_name(label: Any, where: str) -> str | None:
    """Returns the name of the class of one image, as a table gives it.

    Args:
        label: Text, a whole number, or None or NaN for an image without a class.
        where: Which image it belongs to, for the error.

    Raises:
        ValueError: If it is anything else.
    """
    if label is None or label != label:  # NaN is not.
        return None
    if isinstance(label, str):
        return clean_label(label) or None
    whole = isinstance(label, int) or (isinstance(label, float) and label.is_integer())
    if isinstance(label, bool) or not whole:
        raise ValueError(
            f"{where}: found label {label!r}; expected text or a whole number. Correct "
            "it."
        )
    return str(int(label))


def _column(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        return array.reshape(-1)
    raise ValueError(
        f"The labels of {name} must be one per image, (num_images,) or (num_images, "
        f"1); received an array of shape {array.shape}."
    )


def read_labels(path: Path) -> list[str]:
    """Reads the labels of embeddings.

    Args:
        path: `.npy`: see `label_names`. `.csv`: the column `label`, or the only column.
            Any other file: text with one label per line.

    Raises:
        ValueError: If it is not of its format, or a label is empty.
    """
    if path.suffix == ".npy":
        return label_names(load_npy(path, "an array of labels"), str(path))
    text = read_text(path, f"a text file with {_CONTENT}", "Correct the path.")
    if "\0" in text:
        raise ValueError(
            f"{path}: found characters of code 0; expected a text file with {_CONTENT} "
            "in UTF-8. Save the file in that encoding."
        )
    if path.suffix == ".csv":
        return _read_column(path, text)
    lines = text.rstrip().split("\n")
    if any("\t" in line.strip() for line in lines):
        number = next(n for n, line in enumerate(lines, 1) if "\t" in line.strip())
        raise ValueError(
            f"{path}, line {number}: found a tab; expected one label per line. Save "
            "the column of the labels alone, or the table as .csv."
        )
    return _none_empty(clean_labels(lines), f"{path}, line", 1)


def _read_column(path: Path, text: str) -> list[str]:
    lines = list(iterate_csv(path, text))
    header = clean_labels(lines[0][1])
    if "label" in header:
        column, lines = header.index("label"), lines[1:]
    elif len(header) == 1 and not re.search(r"[;\t]", header[0]):
        column = 0
    else:
        raise ValueError(
            f"{path}, line 1: found no column 'label' in {','.join(header)!r}; "
            "expected one, with commas between the columns, or a file of one column. "
            "Name the column in the first line."
        )
    for number, fields in lines:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {number}: found {len(fields)} fields; expected "
                f"{len(header)}, as in line 1. Add what is missing, and put a field "
                "that holds a comma in quotes."
            )
    names = clean_labels(fields[column] for _, fields in lines)
    for (number, _), name in zip(lines, names, strict=True):
        _none_empty([name], f"{path}, line", number)
    return names


def _none_empty(names: list[str], where: str, first: int) -> list[str]:
    if "" in names:
        raise ValueError(
            f"{where} {names.index('') + first}: found an empty label; expected the "
            "name of a class. Fill it in."
        )
    return names


def load_npy(path: Path, content: str) -> npt.NDArray[Any]:
    """Reads a `.npy` file.

    Args:
        path: The file.
        content: What it should hold, for the errors.

    Raises:
        ValueError: If it is none, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            found: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        what, remedy = first_line(error), "Write it with numpy.save"
        if "allow_pickle" in str(error):
            what = "it holds Python objects"
            remedy = "Give the array a dtype of its own, such as .astype(str)"
        elif zipfile.is_zipfile(path):
            what = "it is an archive, as numpy.savez writes it"
            remedy = "Save the array that is wanted by itself, with numpy.save"
        raise ValueError(
            f"{path} cannot be read as .npy: {what}; expected {content}. {remedy}."
        ) from error
    return found


def joint_numbers(parts: Mapping[str, npt.ArrayLike]) -> list[npt.NDArray[np.int64]]:
    """Returns the labels of several sets of images in one count.

    Args:
        parts: Labels as of `whole_labels`, by whose they are.

    Returns:
        int64 `(num_images,)` of each: equal numbers where the labels are equal.

    Raises:
        ValueError: As `whole_labels`.
    """
    whole = [whole_labels(labels, name) for name, labels in parts.items()]
    if all(labels.dtype == np.int64 for labels in whole):
        return whole
    # Python's integers, sorted as such: concatenating would make them floats.
    everything: Sequence[int] = [label for part in whole for label in part.tolist()]
    number = {label: place for place, label in enumerate(sorted(set(everything)))}
    return [
        np.array([number[label] for label in part.tolist()], np.int64) for part in whole
    ]
