"""What a reader finds, before it is checked: paths and class names, by split."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path

from dce_tf.base.errors import UsageError
from dce_tf.base.stores import Place


@dataclasses.dataclass
class Listing:
    """The images of one split, as the data set spells them.

    Attributes:
        paths: Where each image lies.
        names: The class of each image.
        lines: Where a list file names each image, counted from 1; empty if none does.
        groups: The group of each image, `""` for none; empty if the data has none.
        super_classes: The super-class of each image, in the same way.
    """

    paths: list[str] = dataclasses.field(default_factory=list)
    names: list[str] = dataclasses.field(default_factory=list)
    lines: list[int] = dataclasses.field(default_factory=list)
    groups: list[str] = dataclasses.field(default_factory=list)
    super_classes: list[str] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.paths)

    def add(self, path: str, name: str, line: int) -> None:
        """Appends one image of a list file."""
        self.paths.append(path)
        self.names.append(name)
        self.lines.append(line)

    def place(self, source: Path, row: int) -> str:
        """Says for an error where `row` was read: the file and line, or its path."""
        return f"{source}, line {self.lines[row]}" if self.lines else self.paths[row]


def require_data_dir(data_dir: str | None, dataset: str, content: str) -> Path:
    """Returns the folder that the user named.

    Args:
        data_dir: What the user gave.
        dataset: Name of the data set, for the error.
        content: What must lie there, for the error.

    Raises:
        UsageError: If none was given.
        ValueError: If there is nothing of that name.
    """
    if not data_dir:
        raise UsageError(
            f"--dataset={dataset} received no --data_dir; expected {content}. "
            "Pass --data_dir=..."
        )
    path = Path(data_dir).expanduser()
    if not path.exists():
        raise ValueError(
            f"{path}: no such file or folder; expected {content}. Correct --data_dir."
        )
    return path


def read_text(
    path: Place,
    content: str,
    remedy: str = "Put it there or correct --data_dir.",
) -> str:
    """Reads a list file: UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        content: What it should hold, for the errors.
        remedy: What to do if it is missing.

    Raises:
        ValueError: If it is missing, empty, or in another encoding.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected {content}. {remedy}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: found bytes that are not UTF-8; expected {content} "
            "in UTF-8. Save the file in that encoding."
        ) from error
    if not text.strip():
        raise ValueError(
            f"{path}: the file is empty; expected {content}. Fill it or download "
            "it again."
        )
    return text


def iterate_csv(path: Place, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the fields of each line that is not blank.

    Raises:
        ValueError: If the text is not CSV.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: found broken CSV ({error}); expected "
            'fields with commas between, in "..." where they hold commas. Correct it.'
        ) from error


def clean_path(path: str, where: str) -> str:
    """Returns a path of a list file in its one spelling.

    Args:
        path: As the file gives it, relative to the root of the data set.
        where: The file and line, for the error.

    Raises:
        ValueError: If it is empty, absolute, or leaves the root.
    """
    parts = path.replace("\\", "/").split("/")
    is_absolute = parts[0] == "" or parts[0][1:] == ":"
    if is_absolute or ".." in parts:
        raise ValueError(
            f"{where}: found path {path!r}; expected one below the data set's root, "
            "relative, without '..'. Correct it or move the image there."
        )
    return "/".join(part for part in parts if part not in ("", "."))


def iterate_rows(
    path: Path, content: str, columns: tuple[str, ...], *, header: bool
) -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the fields of each line of a list file.

    Args:
        path: The file; fields have white space between, the last may hold some.
        content: What it should hold, for the errors.
        columns: What the fields are.
        header: Whether the first line must name the columns.

    Raises:
        ValueError: As `read_text`, or if a line has too few fields, or the header is
            another.
    """
    for number, line in enumerate(read_text(path, content).splitlines(), start=1):
        fields = line.split(None, len(columns) - 1)
        if number == 1 and header:
            if tuple(fields) != columns:
                raise ValueError(
                    f"{path}, line 1: found header {line.strip()!r}; expected "
                    f"{' '.join(columns)!r}. Download the file again."
                )
        elif fields:
            if len(fields) != len(columns):
                raise ValueError(
                    f"{path}, line {number}: found {len(fields)} fields; expected "
                    f"{len(columns)}: {' '.join(columns)}. Download the file again."
                )
            yield number, [field.strip() for field in fields]


def find_base(root: Path, content: str, *markers: str) -> Path:
    """Returns the folder that is the data set: `root`, or the one below that holds it.

    Args:
        root: What the user named.
        content: What must lie there, for the error.
        *markers: Files or folders, one of which the data set's own folder has.

    Raises:
        ValueError: If neither has it.
    """
    below = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    for base in (root, *below):
        if any((base / marker).exists() for marker in markers):
            return base
    raise ValueError(
        f"{root}: found no {' or '.join(markers)}; expected {content}. Correct "
        "--data_dir or unpack the archive there."
    )
