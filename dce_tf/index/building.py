"""Makes a collection's directory, and the files of its search structure."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.base.files import locked, write_text
from dce_tf.index.bulk import BulkWriter
from dce_tf.index.calibration import Calibration
from dce_tf.index.checks import check_name, check_records
from dce_tf.index.collection import DamagedError, Record, Vectors
from dce_tf.index.kinds import check_kind, choose_kind
from dce_tf.index.manifest import FILE, Manifest, describe_file
from dce_tf.index.maps import MapPlan, as_points
from dce_tf.index.records import RecordStore, Rows
from dce_tf.index.structures import Structure

RECORDS = "records.sqlite"
LOCK = "lock"


@dataclasses.dataclass(frozen=True, eq=False)
class Build:
    """The files of one build, opened.

    Attributes:
        rows: The number of each record, rising.
        structure: Their vectors, in the same order.
        map: The map as JSON; None if there is none. Kept, as the file goes when another
            process builds again.
    """

    rows: Rows
    structure: Structure
    map: str | None = None

    @classmethod
    def read(cls, folder: Path, manifest: Manifest) -> Build:
        """Opens the files that a manifest names.

        Raises:
            DamagedError: If it names others than were made together.
        """
        names = {f"vectors-{manifest.build}.npy", f"rows-{manifest.build}.npy"}
        if not names <= manifest.files.keys():
            raise _mismatch(folder, "its files are not those of its build")
        rows = np.load(folder / f"rows-{manifest.build}.npy")
        vectors = _mapped(folder / f"vectors-{manifest.build}.npy", len(rows))
        shape = (manifest.count, manifest.embedding_dim)
        if vectors.shape != shape or rows.shape != shape[:1]:
            raise _mismatch(folder, f"the vectors are {vectors.shape}, not {shape}")
        path = folder / f"search-{manifest.build}.faiss"
        structure = Structure.read(vectors, manifest.built_as, path)
        if manifest.map is None:
            return cls(rows, structure)
        drawn = (folder / f"map-{manifest.build}.json").read_text(encoding="utf-8")
        return cls(rows, structure, drawn)

    @classmethod
    def empty(cls, dim: int) -> Build:
        """Returns the build of no record."""
        return cls(np.empty(0, np.int64), Structure(np.empty((0, dim), np.float32)))


def _mismatch(folder: Path, problem: str) -> DamagedError:
    return DamagedError(f"{folder / FILE} is damaged: {problem}. Make the index again.")


def _mapped(path: Path, count: int) -> Vectors:
    vectors: Vectors = np.load(path, mmap_mode="r" if count else None)
    return vectors


def build_files(
    folder: Path, store: RecordStore, manifest: Manifest
) -> tuple[Manifest, Build]:
    """Makes the search structure and the map of the records there are at one moment.

    No file that is there is touched, and the new ones count when the manifest that is
    returned is written.

    Args:
        folder: The collection's directory.
        store: The records.
        manifest: What is known of the collection; its `build` is the number to make.

    Returns:
        The manifest with what was built, and what was built.

    Raises:
        OSError: If there is no room. What was begun is removed then, as after any
            failure.
    """
    try:
        return _build_files(folder, store, manifest)
    except BaseException:
        for path in _files_of(folder, str(manifest.build)):
            path.unlink(missing_ok=True)
        raise


def _build_files(
    folder: Path, store: RecordStore, manifest: Manifest
) -> tuple[Manifest, Build]:
    number, dim = manifest.build, manifest.embedding_dim
    rows = _write_vectors(folder / f"vectors-{number}.npy", store, dim)
    with (folder / f"rows-{number}.npy").open("wb") as file:
        # `np.save` tells of a full disk without its error number.
        file.write(_header("<i8", rows.shape))
        file.write(rows.tobytes())
    vectors = _mapped(folder / f"vectors-{number}.npy", len(rows))
    built_as = choose_kind(manifest.kind, len(rows))
    structure = Structure.build(vectors, built_as)
    names = [f"vectors-{number}.npy", f"rows-{number}.npy"]
    if structure.write(folder / f"search-{number}.faiss"):
        names.append(f"search-{number}.faiss")
    drawn = None
    if manifest.map is not None:
        drawn = json.dumps(_draw_map(MapPlan(**manifest.map), store, rows, vectors))
        write_text(folder / f"map-{number}.json", drawn)
        names.append(f"map-{number}.json")
    for name in names:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
    done = dataclasses.replace(
        manifest,
        built_as=built_as,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        count=len(rows),
        highest_row=int(rows[-1]) if len(rows) else 0,
        files={name: describe_file(folder / name) for name in names},
    )
    return done, Build(rows, structure, drawn)


def _write_vectors(path: Path, store: RecordStore, dim: int) -> Rows:
    rows = []
    with store.snapshot(dim) as (count, blocks), path.open("wb") as file:
        file.write(_header("<f4", (count, dim)))
        for numbers, vectors in blocks:
            rows.append(numbers)
            file.write(vectors.tobytes())
    return np.concatenate(rows) if rows else np.empty(0, np.int64)


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    header = io.BytesIO()
    described = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


def _draw_map(
    plan: MapPlan, store: RecordStore, rows: Rows, vectors: Vectors
) -> dict[str, Any]:
    chosen = plan.draw(len(rows))
    known = store.hits(rows[chosen].tolist())
    # A record may have gone since its vector was read.
    kept = [place for place in chosen.tolist() if int(rows[place]) in known]
    names = [known[int(rows[place])][:2] for place in kept]
    return as_points(plan, np.ascontiguousarray(vectors[kept]), names)


def build_collection(
    folder: str | Path,
    blocks: Iterable[Sequence[Record]],
    *,
    fingerprint: str,
    embedding_dim: int,
    name: str | None = None,
    kind: str = "auto",
    model: str = "",
    image_root: str | None = None,
    map_plan: MapPlan | None = None,
    calibration: Calibration | None = None,
    places: str | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Makes a collection; its directory is there when it is whole, not before.

    Args:
        folder: Where.
        blocks: The records, a few thousand at a time; may be none at all.
        fingerprint: Which model made the embeddings.
        embedding_dim: Their width.
        name: What clients call it; default: as the folder.
        kind: How it is searched: `auto`, or an entry of `kinds.KINDS`.
        model: Where the model lies.
        image_root: Folder that the paths of records are relative to.
        map_plan: How to make a map, if one is wanted.
        calibration: What scores mean, if that is known.
        places: Which codes of places come with the records, if any do.
        overwrite: Take the place of a collection that is there.

    Returns:
        What was written into its manifest.

    Raises:
        UsageError: If something is there already, or `kind` is none.
        ValueError: If a record cannot be stored, or a name occurs twice.
    """
    folder = Path(folder)
    check_kind(kind)
    manifest = Manifest(
        name=check_name(name or folder.resolve().name),
        fingerprint=fingerprint,
        embedding_dim=embedding_dim,
        kind=kind,
        built_as=kind,
        created="",
        model=model,
        image_root=image_root,
        map=dataclasses.asdict(map_plan) if map_plan else None,
        calibration=calibration.as_json() if calibration else None,
        places=places,
    )
    with _new_directory(folder, overwrite) as temporary:
        with BulkWriter(temporary / RECORDS) as writer:
            for records in blocks:
                writer.add(records, check_records(records, embedding_dim))
            writer.finish()
        store = RecordStore(temporary / RECORDS)
        try:
            done, _ = build_files(temporary, store, manifest)
        finally:
            store.close()
        done.write(temporary)
    return done


@contextlib.contextmanager
def _new_directory(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Gives a temporary directory, which takes the place of `folder` on success."""
    _check_place(folder, overwrite)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=folder.parent) as temporary:
        made, old = Path(temporary, "new"), Path(temporary, "old")
        made.mkdir()
        yield made
        _check_place(folder, overwrite)
        if folder.exists() and any(folder.iterdir()):
            with writing_alone(folder):
                folder.rename(old)
        try:
            made.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise


def _check_place(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or (
        any(folder.iterdir()) and not (folder / "manifest.json").is_file()
    ):
        raise UsageError(
            f"{folder} is there and is no index. Name another --output_dir."
        )
    if not overwrite and any(folder.iterdir()):
        raise UsageError(
            f"{folder} holds an index already. Pass --overwrite to replace it, or "
            "another --output_dir."
        )
    if any(folder.iterdir()):
        with writing_alone(folder):
            pass


@contextlib.contextmanager
def writing_alone(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing to a collection, however this one ends.

    Raises:
        ValueError: If another process writes to it.
    """
    with locked(
        folder / LOCK,
        f"{folder} is in use by another process, such as a server. Stop that first, "
        "or open the index for reading only.",
    ):
        yield


def remove_others(folder: Path, manifest: Manifest) -> None:
    """Removes what earlier builds, or one that was not finished, have left."""
    for path in _files_of(folder, "*"):
        if path.name not in manifest.files:
            path.unlink(missing_ok=True)
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _files_of(folder: Path, build: str) -> list[Path]:
    """Returns the files of a build, by its number; `*` for those of all."""
    patterns = ("vectors-{}.npy", "rows-{}.npy", "search-{}.faiss", "map-{}.json")
    return [path for each in patterns for path in folder.glob(each.format(build))]
