"""Which images are to be embedded: of a data set, a folder or a list."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest
from dce_tf.base.stores import Place, RemotePath
from dce_tf.datasets import Images, Splits
from dce_tf.datasets.labels import label_name
from dce_tf.datasets.listing import clean_path, iterate_csv, read_text
from dce_tf.images.file_kinds import EXTENSIONS, OTHER_EXTENSIONS
from dce_tf.index.checks import check_id
from dce_tf.index.collection import Id
from dce_tf.index.filters import is_filterable

SPLITS = ("gallery", "query", "test", "train", "val", "all")

_CONTENT = "a CSV file with a column 'path', and perhaps 'id', 'label' and others"


@dataclasses.dataclass(frozen=True)
class Input:
    """One image to embed.

    Attributes:
        id: Its name.
        path: Where it lies, relative to the root.
        label: Its class, if it is known.
        metadata: What else is known of it; JSON values by name.
    """

    id: Id
    path: str
    label: str | None = None
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The images to embed.

    Attributes:
        root: Folder that their paths are relative to.
        images: They, in the order of the source.
    """

    root: Place
    images: Sequence[Input]

    def part_of(self, shard: int, num_shards: int) -> Inputs:
        """Returns the images of one of several jobs: a range, its share of all."""
        total = len(self.images)
        start, end = total * shard // num_shards, total * (shard + 1) // num_shards
        return self.range(start, end)

    def range(self, start: int, end: int) -> Inputs:
        """Returns the images from one place up to another."""
        return Inputs(self.root, self.images[start:end])


def digest(images: Sequence[Input]) -> str:
    """Returns what tells whether images, their names and labels are the same."""
    content = [(each.id, each.path, each.label, each.metadata) for each in images]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def of_data_set(splits: Splits, name: str, data_dir: str | None) -> Inputs:
    """Lists a split of a data set; its name becomes the field `split`.

    In a mix, the name of the source of an image becomes the field `source`, and the
    test is the first one of each source, whether it is in the merged search or not.

    Args:
        splits: The data set.
        name: One of `SPLITS`; `"test"` is queries and gallery.
        data_dir: The root, if it is a folder that holds all of them.

    Raises:
        UsageError: If the data set has no such split.
    """
    chosen = _parts(splits)[name]()
    paths = list(dict.fromkeys(path for _, part in chosen for path in part.paths))
    root = _common_root(paths, data_dir)
    images: dict[str, Input] = {}
    for split, part in chosen:
        for row, (path, label) in enumerate(
            zip(part.paths, part.labels.tolist(), strict=True)
        ):
            relative = os.path.relpath(path, root)
            fields: dict[str, Any] = {"split": split}
            if part.sources is not None:
                fields["source"] = splits.sources[part.sources[row]]
            known = Input(relative, relative, part.class_names[label], fields)
            images.setdefault(relative, known)
    return Inputs(root, list(images.values()))


def _parts(splits: Splits) -> dict[str, Callable[[], list[tuple[str, Images]]]]:
    def val() -> list[tuple[str, Images]]:
        if splits.val is None:
            raise UsageError(
                "--split=val: the data set has no validation split of its own. Use "
                "--split=train."
            )
        return [("val", splits.val)]

    tests = splits.first_tests()
    gallery = [("gallery", each.gallery) for each in tests]
    test = [
        *gallery,
        *(("query", each.query) for each in tests if not each.leave_one_out),
    ]
    return {
        "gallery": lambda: gallery,
        "query": lambda: [("query", each.query) for each in tests],
        "test": lambda: test,
        "train": lambda: [("train", splits.train)],
        "val": val,
        "all": lambda: [
            ("train", splits.train),
            *([("val", splits.val)] if splits.val is not None else []),
            *test,
        ],
    }


def _common_root(paths: Sequence[str], data_dir: str | None) -> Path:
    folders = {Path(path).parent for path in paths}
    common = Path(os.path.commonpath([folder.absolute() for folder in folders]))
    if data_dir is not None and Path(data_dir).is_dir():
        given = Path(data_dir).absolute()
        if common.is_relative_to(given):
            return given
    return common


def of_folder(folder: Place) -> Inputs:
    """Lists the images of a folder, at any depth; hidden ones are passed over.

    Raises:
        ValueError: If there are none.
    """
    files = folder.files_below() if isinstance(folder, RemotePath) else _below(folder)
    paths = [path for path in files if _is_image(path)]
    if not paths:
        raise ValueError(
            f"{folder}: found no image; expected files that end in "
            f"{', '.join(sorted(EXTENSIONS))}."
        )
    return Inputs(folder.resolve(), [Input(path, path) for path in sorted(paths)])


def _below(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        # Not even looked into.
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            yield os.path.relpath(Path(place, name), folder)


def _is_image(path: str) -> bool:
    hidden = any(part.startswith(".") for part in path.split("/"))
    # Those of other kinds are told one by one what to convert them to.
    known = EXTENSIONS | OTHER_EXTENSIONS
    return not hidden and Path(path).suffix.lower() in known


def of_list(
    path: Place, *, root: Place | None = None, number_ids: bool = False
) -> Inputs:
    """Lists the images of a CSV file.

    `path` says where each lies, `id` what it is called (default: its path), `label` its
    class. Other columns become metadata: numbers where every field is one, else text;
    an empty field is left out.

    Args:
        path: The file.
        root: Folder that its paths are relative to; default: the file's own.
        number_ids: Whether ids are integers.

    Raises:
        ValueError: If it is not of the format, a path leaves the root, or an id occurs
            twice.
    """
    lines = iterate_csv(path, read_text(path, _CONTENT))
    header = check_header(f"{path}, line 1", next(lines)[1], _CONTENT)
    rows, places = [], []
    for number, fields in lines:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {number}: found {len(fields)} fields; expected "
                f"{len(header)}, as in the header."
            )
        rows.append(dict(zip(header, (field.strip() for field in fields), strict=True)))
        places.append(f"{path}, line {number}")
    numeric = {
        name: _all_numbers([row[name] for row in rows])
        for name in header
        if name not in ("path", "id", "label")
    }
    seen: dict[Id, str] = {}
    images = []
    for row, where in zip(rows, places, strict=True):
        relative = clean_path(row["path"], where)
        name = read_id(row.get("id", relative), where, number_ids)
        if name in seen:
            raise ValueError(
                f"{where}: found id {name!r} again, first in {seen[name]}; expected "
                "each once."
            )
        seen[name] = where
        metadata = {
            field: _number(row[field]) if is_number else row[field]
            for field, is_number in numeric.items()
            if row[field]
        }
        images.append(
            Input(name, relative, label_name(row.get("label"), where), metadata)
        )
    return Inputs((root or path.parent).resolve(), images)


def check_header(where: str, fields: Sequence[str], content: str) -> list[str]:
    """Returns the names of the columns of a list.

    Args:
        where: Where they stand, for the error.
        fields: They.
        content: What the list should hold, for the error.

    Raises:
        ValueError: If `path` is missing, or one is there twice or is no name.
    """
    header = [field.strip() for field in fields]
    if "path" not in header:
        raise ValueError(
            f"{where}: found no column 'path' in {', '.join(header)}."
            f"{suggest('path', header)} Expected {content}."
        )
    for place, name in enumerate(header):
        if name in header[:place] or not is_filterable(name):
            raise ValueError(
                f"{where}: found a column {name!r} that is there twice or is no "
                "name of a field; expected names without quotes, backslashes and "
                "control characters, each once."
            )
    return header


def read_id(given: Any, where: str, number_ids: bool) -> Id:
    """Returns the name of an image as a list gives it.

    Raises:
        ValueError: If it can be none.
    """
    try:
        return check_id(_whole_number(given) if number_ids else given)
    except (TypeError, ValueError) as error:
        wanted = "an integer, as of --number_ids" if number_ids else "a name"
        raise ValueError(
            f"{where}: found id {given!r}; expected {wanted} ({error})."
        ) from error


def _whole_number(given: Any) -> int:
    number = int(given)
    if isinstance(given, str) and str(number) != given:
        raise ValueError(f"written otherwise than {number}")
    return number


def _all_numbers(fields: Sequence[str]) -> bool:
    return any(fields) and all(_number(field) is not None for field in fields if field)


def _number(text: str) -> float | int | None:
    """Returns a number that is written as JSON writes it: `007` is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return value if fits and abs(value) < float("inf") else None
