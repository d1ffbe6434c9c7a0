"""Embeddings on their way from a model to an index: a folder of Parquet files."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dce_tf.base.files import replacing
from dce_tf.base.program import PROGRAM
from dce_tf.index.collection import Id, Places, Record, Vectors
from dce_tf.index.places import as_places, place_numbers

BLOCK = 4096  # Rows read at once.

_PART = re.compile(r"(part|bad)-(\d+)-of-(\d+)-(\d+)\.parquet")
_PREFIX = "dce_tf."


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file of embeddings says of all of them.

    Attributes:
        fingerprint: Which model made them: see `export.fingerprint`.
        embedding_dim: Their width.
        image_root: Folder that paths are relative to; empty if there is none.
        model: Where the model lay.
        inputs: Digest of what the file was made from, to know it again; or empty.
        parts: How many files its shard has; 0 if that is not known.
        places: Which codes of places come with them, as `PlaceHead.digest`; empty if
            there are none.
    """

    fingerprint: str
    embedding_dim: int
    image_root: str = ""
    model: str = ""
    inputs: str = ""
    parts: int = 0
    places: str = ""


@dataclasses.dataclass(frozen=True, order=True)
class Part:
    """Which file of the folder one is.

    Attributes:
        num_shards: How many jobs share the images.
        shard: Which of them wrote it, from 0.
        number: Which of the job's files it is, from 0.
    """

    num_shards: int
    shard: int
    number: int

    @property
    def name(self) -> str:
        """The file of embeddings."""
        return self._named("part")

    @property
    def bad_name(self) -> str:
        """The file of images that could not be embedded, if there are any."""
        return self._named("bad")

    def _named(self, word: str) -> str:
        return (
            f"{word}-{self.shard:05d}-of-{self.num_shards:05d}-{self.number:06d}"
            ".parquet"
        )


def find_parts(folder: Path) -> list[Part]:
    """Returns the files of embeddings in a folder, in order."""
    return _find(folder, "part")


def find_lists_of_bad(folder: Path) -> list[Part]:
    """Returns those of which a folder has a list of bad images, in order."""
    return _find(folder, "bad")


def _find(folder: Path, word: str) -> list[Part]:
    found = [_PART.fullmatch(path.name) for path in folder.glob(f"{word}-*.parquet")]
    numbers = [match.groups()[1:] for match in found if match]
    return sorted(
        Part(int(shards), int(shard), int(number)) for shard, shards, number in numbers
    )


def remove_part(folder: Path, part: Part) -> None:
    """Removes a file of embeddings and its list of bad images, if they are there."""
    (folder / part.name).unlink(missing_ok=True)
    (folder / part.bad_name).unlink(missing_ok=True)


def write_part(
    path: Path,
    header: Header,
    ids: Sequence[Id],
    paths: Sequence[str | None],
    labels: Sequence[str | None],
    metadata: Sequence[dict[str, Any]],
    embeddings: Vectors,
    places: Places | None = None,
) -> None:
    """Writes a file of embeddings, atomically.

    Args:
        path: The file.
        header: What is said of all of them.
        ids: Their names, all text or all integers.
        paths: Where each image lies, relative to the header's `image_root`.
        labels: Their classes.
        metadata: What else is known of each; JSON values by name.
        embeddings: float32 `(num_images, embedding_dim)`.
        places: Codes of places, int8 `(num_images, places, numbers)`.
    """
    numbers = bool(ids) and all(isinstance(each, int) for each in ids)
    flat = pa.array(np.ascontiguousarray(embeddings, np.float32).ravel())
    table = pa.table(
        {
            "id": pa.array(ids, pa.int64() if numbers else pa.string()),
            "path": pa.array(paths, pa.string()),
            "label": pa.array(labels, pa.string()),
            "metadata": pa.array(
                [json.dumps(each, allow_nan=False) for each in metadata], pa.string()
            ),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, header.embedding_dim),
        }
    )
    if places is not None:
        blobs = pa.array([each.tobytes() for each in places], pa.binary())
        table = table.append_column("places", blobs)
    _write(path, table.replace_schema_metadata(_as_metadata(header)))


def write_bad(
    path: Path, ids: Sequence[Id], paths: Sequence[str], reasons: Sequence[str]
) -> None:
    """Writes which images could not be embedded, and why, atomically."""
    numbers = bool(ids) and all(isinstance(each, int) for each in ids)
    _write(
        path,
        pa.table(
            {
                "id": pa.array(ids, pa.int64() if numbers else pa.string()),
                "path": pa.array(paths, pa.string()),
                "reason": pa.array(reasons, pa.string()),
            }
        ),
    )


def _write(path: Path, table: pa.Table) -> None:
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def _as_metadata(header: Header) -> dict[str, str]:
    return {
        f"{_PREFIX}{name}": str(value)
        for name, value in dataclasses.asdict(header).items()
    }


def read_header(path: Path) -> Header:
    """Reads what a file says of its embeddings.

    Raises:
        ValueError: If it is no file of embeddings.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error
    found = {
        key.decode(): value.decode() for key, value in (schema.metadata or {}).items()
    }
    values: dict[str, Any] = {
        field.name: found[_PREFIX + field.name]
        for field in dataclasses.fields(Header)
        if _PREFIX + field.name in found
    }
    missing = {"fingerprint", "embedding_dim"} - set(values)
    columns = {"id", "embedding"} - set(schema.names)
    if missing or columns:
        lacking = [*sorted(columns), *(_PREFIX + name for name in sorted(missing))]
        raise ValueError(
            f"{path}: found no {', '.join(lacking)}; expected what `{PROGRAM} "
            "embed` writes."
        )
    for name in ("embedding_dim", "parts"):
        values[name] = int(values.get(name, 0))
    header = Header(**values)
    wanted = pa.list_(pa.float32(), header.embedding_dim)
    if schema.field("embedding").type != wanted:
        raise ValueError(
            f"{path}: found embeddings of type {schema.field('embedding').type}; "
            f"expected {wanted}."
        )
    return header


def check_folder(folder: Path) -> tuple[Header, list[Part]]:
    """Checks that a folder holds all embeddings of one model.

    Returns:
        What its files say alike, and the files.

    Raises:
        ValueError: If a file is of another model than the first, or one is missing.
    """
    parts = find_parts(folder)
    if not parts:
        raise ValueError(
            f"{folder} holds no embeddings (part-….parquet). Make some with "
            f"`{PROGRAM} embed`."
        )
    first = read_header(folder / parts[0].name)
    counts: dict[int, int] = {}
    for part in parts:
        path = folder / part.name
        header = read_header(path)
        for name in ("fingerprint", "embedding_dim", "image_root", "places"):
            ours, theirs = getattr(first, name), getattr(header, name)
            if ours != theirs:
                raise ValueError(
                    f"{path} has {name} {theirs}, and {parts[0].name} has {ours}; "
                    "expected all of one model and one folder of images. Embed again "
                    "into an empty folder."
                )
        counts[part.shard] = header.parts
    _check_complete(folder, parts, counts)
    return first, parts


def _check_complete(folder: Path, parts: list[Part], counts: dict[int, int]) -> None:
    num_shards = parts[0].num_shards
    if any(part.num_shards != num_shards for part in parts):
        raise ValueError(
            f"{folder} holds files of {num_shards} and of {parts[-1].num_shards} "
            "shards. Remove those of one."
        )
    present = set(parts)
    for shard in range(num_shards):
        for number in range(max(1, counts.get(shard, 0))):
            part = Part(num_shards, shard, number)
            if part not in present:
                raise ValueError(
                    f"{folder}: {part.name} is missing: not all was embedded. Run "
                    f"`{PROGRAM} embed` with --shard={shard} "
                    f"--num_shards={num_shards} to its end."
                )
        extra = [
            part
            for part in parts
            if part.shard == shard and 0 < counts[shard] <= part.number
        ]
        if extra:
            raise ValueError(
                f"{folder}: {extra[0].name} is left from another job. Remove it."
            )


def count_records(folder: Path, parts: Sequence[Part]) -> int:
    """Returns how many records files of embeddings have."""
    return sum(int(pq.read_metadata(folder / part.name).num_rows) for part in parts)


def count_classes(folder: Path, parts: Sequence[Part]) -> tuple[int, int]:
    """Returns how many classes files of embeddings name, and images of none of them."""
    classes: set[str] = set()
    unknown = 0
    for part in parts:
        path = folder / part.name
        if "label" not in pq.read_schema(path).names:
            unknown += int(pq.read_metadata(path).num_rows)
            continue
        labels = pq.read_table(path, columns=["label"])["label"]
        unknown += labels.null_count
        classes |= set(labels.unique().drop_null().to_pylist())
    return len(classes), unknown


def read_records(folder: Path, parts: Sequence[Part]) -> Iterator[list[Record]]:
    """Yields the records of files of embeddings, a few thousand at a time.

    Raises:
        ValueError: If a file is damaged.
    """
    for part in parts:
        path = folder / part.name
        try:
            numbers = place_numbers(read_header(path).places)
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(BLOCK):
                    yield _records(batch, path, numbers)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error


def _records(batch: pa.RecordBatch, path: Path, numbers: int) -> list[Record]:
    embedding = batch.column("embedding")
    dim = embedding.type.list_size
    vectors = embedding.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    if len(vectors) != len(batch):
        raise ValueError(f"{path}: found rows without an embedding.")

    def column(name: str) -> list[Any]:
        if name not in batch.schema.names:
            return [None] * len(batch)
        return batch.column(name).to_pylist()

    return [
        Record(
            record_id,
            vector,
            label,
            image,
            json.loads(text) if text else {},
            places=as_places(codes, numbers) if numbers else None,
        )
        for record_id, vector, label, image, text, codes in zip(
            column("id"),
            vectors,
            column("label"),
            column("path"),
            column("metadata"),
            column("places"),
            strict=True,
        )
    ]


def read_bad(path: Path) -> list[dict[str, Any]]:
    """Reads what `write_bad` wrote; nothing if there is no such file."""
    if not path.is_file():
        return []
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
