"""A collection in one directory of this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.index.building import (
    RECORDS,
    Build,
    build_files,
    remove_others,
    writing_alone,
)
from dce_tf.index.calibration import Calibration
from dce_tf.index.checks import check_id, check_k, check_records, unit_vectors
from dce_tf.index.collection import Hit, Id, Places, Record, Vectors
from dce_tf.index.filters import Condition, parse_filter
from dce_tf.index.manifest import FILE, Manifest
from dce_tf.index.pictures import SIDE, thumbnail_below
from dce_tf.index.places import place_numbers
from dce_tf.index.records import RecordStore, Rows
from dce_tf.index.state import State

_KEPT_FILTERS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class _Matches:
    """Numbers of the records that filters let pass, as long as nothing changes."""

    state: State
    rows: dict[str, Rows]


class LocalCollection:
    """Records in SQLite, their vectors in a structure of FAISS.

    SQLite decides what there is: what is stored when a method returns is there after
    any end of the process. The structure is of the last build; what came since is
    searched one by one beside it, until `rebuild`.

    Args:
        folder: What `build_collection` made.
        read_only: Look only; any number of processes may do so beside one that writes,
            and see what it has written.

    Raises:
        ValueError: If it is no collection, damaged beyond repair, or in use.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self._folder = folder
        self._read_only = read_only
        self._changing = threading.Lock()
        self._rebuilding = threading.Lock()
        Manifest.read(folder)  # Says best what else a folder is.
        with contextlib.ExitStack() as opened:
            if not read_only:
                opened.enter_context(writing_alone(folder))
            self._store = RecordStore(folder / RECORDS, read_only=read_only)
            opened.callback(self._store.close)
            self._changes = self._store.changes()
            # Another process may have built in between.
            self._manifest = Manifest.read(folder)
            self._state = self._opened_state(self._manifest)
            self._matches = _Matches(self._state, {})
            self._open = opened.pop_all()

    def _opened_state(self, manifest: Manifest) -> State:
        problem = manifest.problem_with(self._folder)
        if problem is None:
            build = Build.read(self._folder, manifest)
            state = self._state_after(build, manifest.highest_row)
        elif self._read_only:
            warnings.warn(
                f"{problem}. Searching one by one instead; opened for writing, the "
                "index mends itself.",
                stacklevel=4,
            )
            return self._state_after(Build.empty(self.embedding_dim), 0)
        else:
            warnings.warn(f"{problem}. Making it again from {RECORDS}.", stacklevel=4)
            state = self._built_anew()
        if not self._read_only:
            remove_others(self._folder, self._manifest)
        return state

    def _state_after(self, build: Build, highest: int) -> State:
        rows, vectors = self._later_than(highest)
        return State.of(build, self._store.gone(), rows, vectors)

    def _later_than(self, highest: int) -> tuple[Rows, Vectors]:
        dim = self.embedding_dim
        with self._store.snapshot(dim, highest) as (count, blocks):
            rows, vectors = np.empty(count, np.int64), np.empty((count, dim), "f4")
            filled = 0
            for numbers, block in blocks:
                part = slice(filled, filled + len(block))
                rows[part], vectors[part] = numbers, block
                filled += len(block)
        return rows, vectors

    def _current(self) -> State:
        """Returns what is searched; a reader takes over what others wrote."""
        if self._read_only:
            with self._changing:
                self._catch_up()
        return self._state

    def _catch_up(self) -> None:
        changes = self._store.changes()
        if changes == self._changes:
            return
        manifest = Manifest.read(self._folder)
        if manifest.build != self._manifest.build:
            self._state = self._opened_state(manifest)
            self._manifest = manifest
        else:
            seen = self._state.later_rows
            highest = int(seen[-1]) if len(seen) else manifest.highest_row
            more = self._state.with_more(*self._later_than(highest))
            self._state = more.without(self._store.gone())
        self._changes = changes

    def _built_anew(self) -> State:
        """Builds, and returns the state then; the caller keeps writers away after."""
        planned = dataclasses.replace(self._manifest, build=self._manifest.build + 1)
        manifest, build = build_files(self._folder, self._store, planned)
        manifest.write(self._folder)
        self._manifest = manifest
        return self._state_after(build, manifest.highest_row)

    @property
    def name(self) -> str:
        """What clients call it."""
        return self._manifest.name

    @property
    def fingerprint(self) -> str:
        """Which model made the embeddings."""
        return self._manifest.fingerprint

    @property
    def embedding_dim(self) -> int:
        """Width of the embeddings."""
        return self._manifest.embedding_dim

    @property
    def calibration(self) -> Calibration | None:
        """What scores mean, if that is known."""
        found = self._manifest.calibration
        where = str(self._folder / FILE)
        return None if found is None else Calibration.from_json(found, where)

    @property
    def place_codes(self) -> str | None:
        """Which codes of places its records have, if they have some."""
        return self._manifest.places

    def __len__(self) -> int:
        return len(self._current())

    def search(
        self, queries: Vectors, k: int, where: Mapping[str, Any] | None = None
    ) -> list[list[Hit]]:
        """Finds the records nearest to each query; see `Collection`."""
        queries = unit_vectors(queries, self.embedding_dim, "query")
        conditions, k = parse_filter(where), check_k(k)
        state = self._current()
        allowed = self._matching(conditions, state) if conditions else None
        scores, rows = state.search(queries, k, allowed)
        known = self._store.hits(np.unique(rows).tolist())
        scores = np.clip(scores, -1, 1)
        return [
            [
                Hit(known[row][0], score, *known[row][1:])
                for row, score in zip(found, likeness, strict=True)
                if row in known  # It may have gone since.
            ]
            for found, likeness in zip(rows.tolist(), scores.tolist(), strict=True)
        ]

    def _matching(self, conditions: tuple[Condition, ...], state: State) -> Rows:
        matches = self._matches
        if matches.state is not state or len(matches.rows) >= _KEPT_FILTERS:
            self._matches = matches = _Matches(state, {})
        # Not the conditions themselves: to Python 1 and true are equal.
        key = repr(conditions)
        rows = matches.rows.get(key)
        if rows is None:
            rows = matches.rows[key] = self._store.matching(conditions)
        return rows

    def get(self, ids: Sequence[Id]) -> list[Record | None]:
        """Returns the records of these names; see `Collection`."""
        return self._store.get([check_id(each) for each in ids], self.embedding_dim)

    def upsert(self, records: Sequence[Record]) -> None:
        """Stores records; see `Collection`."""
        self._check_writable()
        vectors = check_records(records, self.embedding_dim)
        with self._changing:
            added, replaced = self._store.put(records, vectors)
            self._state = self._state.without(replaced).with_more(added, vectors)

    def delete(self, ids: Sequence[Id]) -> int:
        """Removes records; see `Collection`."""
        self._check_writable()
        checked = [check_id(each) for each in ids]
        with self._changing:
            removed = self._store.remove(checked)
            self._state = self._state.without(removed)
        return len(removed)

    def _check_writable(self) -> None:
        if self._read_only:
            raise ValueError(
                f"{self._folder} was opened for reading only; open it for writing."
            )

    def rebuild(self) -> None:
        """Makes the search structure and the map again; see `Collection`.

        Searches and changes go on meanwhile; changes wait where a field of the metadata
        gets its index.
        """
        self._check_writable()
        with self._rebuilding:
            self._store.index_fields()
            number = self._manifest.build + 1
            planned = dataclasses.replace(self._manifest, build=number)
            before = self._store.gone()
            manifest, build = build_files(self._folder, self._store, planned)
            try:
                with self._changing:
                    manifest.write(self._folder)
                    self._manifest = manifest
                    self._state = self._state_after(build, manifest.highest_row)
                    # Those that went meanwhile are in the build, and stay masked.
                    self._store.forget_gone(before)
            finally:
                # Of the two builds the one that does not count.
                remove_others(self._folder, self._manifest)

    def describe(self) -> dict[str, Any]:
        """Returns what there is to know; see `Collection`."""
        state, manifest = self._current(), self._manifest
        return {
            "name": manifest.name,
            "count": len(state),
            "embedding_dim": manifest.embedding_dim,
            "kind": manifest.built_as,
            "fingerprint": manifest.fingerprint,
            "model": manifest.model,
            "fields": self._store.fields(),
            "map": manifest.map and manifest.map["method"],
            "created": manifest.created,
            "since_build": state.num_later,
            "image_root": manifest.image_root,
            "places": manifest.places,
        }

    def places(self, ids: Sequence[Id]) -> list[Places | None]:
        """Returns codes of places of records; see `Collection`."""
        numbers = place_numbers(self._manifest.places or "")
        if not numbers:
            return [None] * len(ids)
        return self._store.places([check_id(each) for each in ids], numbers)

    def labels(self, most: int = 1000) -> list[str]:
        """Returns the classes there are; see `Collection`."""
        return self._store.labels(most)

    def sample(self, count: int) -> Vectors:
        """Returns vectors of records drawn at random; see `Collection`."""
        return self._store.sample(count, self.embedding_dim)

    def thumbnail(self, record_id: Id, side: int = SIDE) -> bytes | None:
        """Returns a small JPEG of a record; see `Collection`."""
        path, jpeg = self._store.picture(check_id(record_id)) or (None, None)
        if jpeg is not None or path is None or self._manifest.image_root is None:
            return jpeg
        return thumbnail_below(self._manifest.image_root, path, side)

    def map(self) -> dict[str, Any] | None:
        """Returns the gallery in two dimensions; see `Collection`."""
        text = self._current().build.map
        drawn: dict[str, Any] | None = None if text is None else json.loads(text)
        return drawn

    def close(self) -> None:
        """Gives files and connections back."""
        self._open.close()
