"""Anybody's own data, as a table: `path,label,split[,group][,super_class]`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dce_tf.base.registry import suggest
from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import SPLITS, build_splits
from dce_tf.datasets.labels import clean_label
from dce_tf.datasets.listing import (
    Listing,
    clean_path,
    iterate_csv,
    read_text,
    require_data_dir,
)
from dce_tf.datasets.splits import Splits

HEADER = ("path", "label", "split")
_MORE = ("group", "super_class")

_CONTENT = "a CSV file with header path,label,split[,group][,super_class]"


@DATASETS.register("csv")
def read_csv(data_dir: str | None) -> Splits:
    """Reads a CSV file; a path in it is relative to the folder it lies in.

    The columns `group`, what `--exclude` goes by, and `super_class`, which a sampler
    can draw by, are optional.

    Args:
        data_dir: A folder that holds `index.csv`, or a CSV file of any name.

    Raises:
        UsageError: If `data_dir` is not given.
        ValueError: If the file is not of the format, or its splits do not fit.
    """
    path = require_data_dir(data_dir, "csv", f"a folder with index.csv, or {_CONTENT}")
    return read_index(path / "index.csv" if path.is_dir() else path)


def read_index(path: Path, *, recall_at: tuple[int, ...] = (1, 2, 4, 8)) -> Splits:
    """Reads the CSV file `path`.

    Args:
        path: The file.
        recall_at: The K of recall@K.

    Raises:
        ValueError: As `read_csv`.
    """
    lines = iterate_csv(path, read_text(path, _CONTENT))
    header = _check_header(path, next(lines)[1])
    listings = {split: Listing() for split in SPLITS}
    root = path.parent
    for number, fields in lines:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {number}: found {len(fields)} fields; expected "
                f"{len(header)}, as in the header. Add what is missing, and put a "
                "field that holds a comma in quotes."
            )
        relative = clean_path(fields[0], f"{path}, line {number}")
        label, split = clean_label(fields[1]), fields[2].strip()
        if not label or split not in listings:
            raise _bad_field(f"{path}, line {number}", label, split)
        listings[split].add(f"{root}/{relative}", label, number)
        for column, field in zip(header[3:], fields[3:], strict=True):
            names = listings[split].groups
            if column == "super_class":
                names = listings[split].super_classes
            names.append(field.strip())
    return build_splits(path, listings, recall_at=recall_at)


def _check_header(path: Path, fields: Sequence[str]) -> tuple[str, ...]:
    """Returns the names of the columns."""
    header = tuple(field.strip() for field in fields)
    more = tuple(column for column in _MORE if column in header[len(HEADER) :])
    if header != (*HEADER, *more):
        raise ValueError(
            f"{path}, line 1: found header {','.join(header)!r}; expected "
            f"'path,label,split', and optionally ',group' and ',super_class' after it. "
            "Add or correct it."
        )
    return header


def _bad_field(where: str, label: str, split: str) -> ValueError:
    if not label:
        return ValueError(
            f"{where}: found an empty label; expected the name of a class. Fill it in."
        )
    return ValueError(
        f"{where}: found split {split!r}; expected one of {', '.join(SPLITS)}."
        f"{suggest(split, SPLITS)} Correct it."
    )
