"""Lists of images as Parquet: what long ones are kept in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from dce_tf.base.errors import UsageError, first_line
from dce_tf.base.stores import Place, RemotePath, place_of
from dce_tf.datasets.labels import label_name
from dce_tf.datasets.listing import clean_path
from dce_tf.embedding.image_list import (
    Input,
    Inputs,
    check_header,
    of_folder,
    of_list,
    read_id,
)
from dce_tf.embedding.image_table import BLOCK, ImageTable

_CONTENT = "Parquet with a column 'path', and perhaps 'id', 'label' and others"


def list_images(
    images: str, *, root: str | None = None, number_ids: bool = False
) -> Inputs:
    """Lists the images that `--images` names.

    Args:
        images: A folder of images, a CSV list, or Parquet: a file, or a folder whose
            name ends so. It may lie in a store, such as `gs://bucket/list.csv`.
        root: Folder that paths in a list are relative to; default: the list's own.
        number_ids: Whether ids that are text are integers.

    Raises:
        UsageError: If there is no such file or folder.
        ValueError: If it is not of its format.
    """
    place = place_of(images)
    if not place.exists():
        raise UsageError(f"--images={images}: there is no such file or folder.")
    of_file = of_parquet if place.suffix == ".parquet" else of_list
    if place.is_dir() and of_file is of_list:
        return of_folder(place)
    return of_file(place, root=place_of(root) if root else None, number_ids=number_ids)


def of_parquet(
    path: Place, *, root: Place | None = None, number_ids: bool = False
) -> Inputs:
    """Lists the images of a Parquet file, or of a folder of them.

    The columns mean what they mean in `of_list`. Ids may be text or integers; other
    columns are text, numbers, true and false; null and NaN are left out.

    Args:
        path: The file or folder.
        root: Folder that its paths are relative to; default: the file's own.
        number_ids: Whether ids that are text are integers.

    Raises:
        ValueError: If it is not of the format, a path leaves the root, or an id occurs
            twice.
    """
    found = _open(path)
    header = check_header(str(path), found.schema.names, _CONTENT)
    for name in header:
        _check_type(path, found.schema.field(name))
    parts = [
        ImageTable.of(_of_rows(path, first, rows, number_ids)).table
        for first, rows in _blocks(path, found)
    ]
    if not parts:
        raise ValueError(f"{path}: found no rows; expected {_CONTENT}.")
    table = pa.concat_tables(parts)
    _check_unique(path, table["id"])
    return Inputs((root or path.parent).resolve(), ImageTable(table))


def _open(path: Place) -> Any:
    if isinstance(path, RemotePath):
        filesystem, where = path.filesystem, path.path
    else:
        filesystem, where = fs.LocalFileSystem(), str(path)
    try:
        found = ds.dataset(where, filesystem=filesystem, format="parquet")
        files = [each.physical_schema for each in found.get_fragments()]
        # Not as the first file has it, to which the others would be converted.
        return found.replace_schema(pa.unify_schemas([found.schema, *files]))
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"{path} cannot be read as Parquet: {first_line(error)}. Expected "
            f"{_CONTENT}."
        ) from error


def _check_type(path: Place, field: pa.Field) -> None:
    kind, types = field.type, pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    text = types.is_string(kind) or types.is_large_string(kind)
    allowed = {"path": text, "id": text or types.is_integer(kind)}
    other = (
        text
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
    )
    if not allowed.get(field.name, other):
        wanted = {"path": "text", "id": "text or integers"}
        raise ValueError(
            f"{path}: found a column {field.name!r} of type {field.type}; expected "
            f"{wanted.get(field.name, 'text, numbers, or true and false')}. Convert it "
            "or leave it out."
        )


def _blocks(path: Place, found: Any) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yields rows, and how many stood before them."""
    first = 0
    try:
        for batch in found.to_batches(batch_size=BLOCK):
            if len(batch):
                yield first, _as_written(batch).to_pylist()
            first += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read: {first_line(error)}.") from error


def _as_written(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Returns a batch in which 0.1 of 32 bits is the 0.1 that people write."""
    columns = [
        pc.cast(pc.cast(column, pa.string()), pa.float64())
        if pa.types.is_float32(column.type)
        else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, names=batch.schema.names)


def _of_rows(
    path: Place, first: int, rows: list[dict[str, Any]], number_ids: bool
) -> Iterator[Input]:
    for number, row in enumerate(rows, start=first + 1):
        where = f"{path}, row {number}"
        relative = clean_path(row.pop("path") or "", where)
        name = read_id(row.pop("id", relative), where, number_ids)
        label = label_name(row.pop("label", None), where)
        metadata = _metadata(row, where)
        yield Input(name, relative, label, metadata)


def _metadata(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    known = {
        name: value
        for name, value in row.items()
        if value is not None and value == value  # NaN is not.
    }
    for name, value in known.items():
        if isinstance(value, float) and math.isinf(value):
            raise ValueError(
                f"{where}: found {name} = {value}; expected a finite number, or null."
            )
    return known


def _check_unique(path: Place, ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    seen: dict[Any, int] = {}
    for number, name in enumerate(ids.to_pylist(), start=1):
        if name in seen:
            raise ValueError(
                f"{path}, row {number}: found id {name!r} again, first in row "
                f"{seen[name]}; expected each once."
            )
        seen[name] = number
