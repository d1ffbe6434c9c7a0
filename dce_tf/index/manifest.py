"""What a collection's directory says of itself, and how its files are checked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dce_tf.base.files import write_json
from dce_tf.base.program import PROGRAM
from dce_tf.index.calibration import problem_with
from dce_tf.index.checks import check_name
from dce_tf.index.collection import DamagedError
from dce_tf.index.kinds import check_kind
from dce_tf.index.maps import METHODS
from dce_tf.index.places import is_name_of_places

FILE = "manifest.json"
FORMAT = 1
_COUNTS = ("points", "clusters")
_FILE_NAME = re.compile(r"(?:vectors|rows)-\d+\.npy|search-\d+\.faiss|map-\d+\.json")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `manifest.json` holds.

    Attributes:
        name: What clients call the collection.
        fingerprint: Which model made the embeddings.
        embedding_dim: Their width.
        kind: How it is searched, as asked for: see `kinds.KINDS`.
        built_as: How it is searched; another than `kind` where that is `auto`.
        created: When it was built, ISO 8601.
        model: Where the model lay.
        image_root: Folder that the paths of records are relative to, or None.
        map: How its map is made: `method`, `points`, `clusters`; None for no map.
        calibration: What scores mean, as `Calibration.as_json`; None if that is not
            known.
        places: Which codes of places the records have; None if they have none.
        build: Number of the build; its files have it in their names.
        count: Records in the build.
        highest_row: The highest of their numbers; higher ones are searched one by one.
        files: `bytes` and `sha256` of each file that was made from the records.
        format: Version of the layout.
    """

    name: str
    fingerprint: str
    embedding_dim: int
    kind: str
    built_as: str
    created: str
    model: str = ""
    image_root: str | None = None
    map: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    places: str | None = None
    build: int = 1
    count: int = 0
    highest_row: int = 0
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Reads the manifest of a directory.

        Raises:
            DamagedError: If somebody has changed it into what was never written.
            ValueError: If the directory is none of a collection, or of another format.
        """
        path = folder / FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            found = values["format"]
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder} is no index: it has no {FILE}. Make one with "
                f"`{PROGRAM} index EMBEDDINGS`."
            ) from error
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path} cannot be read: {error}. Make the index again."
            ) from error
        if found != FORMAT:
            raise ValueError(
                f"{path}: found format {found!r}; expected {FORMAT}. Make the index "
                "again with this version of dce_tf."
            )
        problem = _problem_with(values)
        if problem is not None:
            raise DamagedError(f"{path} is damaged: {problem}. Make the index again.")
        return cls(**values)

    def write(self, folder: Path) -> None:
        """Writes it, atomically: it decides which files of a directory count."""
        write_json(folder / FILE, dataclasses.asdict(self))

    def problem_with(self, folder: Path) -> str | None:
        """Returns what is wrong with the first file that is not as it was written."""
        for name, wanted in self.files.items():
            path = folder / name
            if not path.is_file():
                return f"{path} is missing"
            if describe_file(path) != wanted:
                return f"{path} is damaged: its checksum is another"
        return None


def _problem_with(values: dict[str, Any]) -> str | None:
    """Returns what is wrong with the values of a manifest, or None."""
    for field in dataclasses.fields(Manifest):
        if field.name not in values:
            if field.default is field.default_factory is dataclasses.MISSING:
                return f"it has no {field.name!r}"
            continue
        expected, fits = _FIELDS[field.name]
        if not fits(values[field.name]):
            return f"{field.name!r} is {_show(values[field.name])}, expected {expected}"
    unknown = sorted(set(values) - set(_FIELDS))
    return f"nobody knows its {unknown[0]!r}" if unknown else None


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_name(value: Any) -> bool:
    return _is_text(value) and _fits(check_name, value)


def _is_kind(value: Any) -> bool:
    return _is_text(value) and _fits(check_kind, value)


def _is_map(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and value.keys() == {"method", "points", "clusters"}
        and value["method"] in METHODS
        and all(_is_number(value[each]) and value[each] for each in _COUNTS)
    )


def _is_list_of_files(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _FILE_NAME.fullmatch(name)
        and isinstance(each, dict)
        and each.keys() == {"bytes", "sha256"}
        and _is_number(each["bytes"])
        and _is_text(each["sha256"])
        for name, each in value.items()
    )


def _fits(check: Callable[[Any], object], value: Any) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


# What each field is, for people, and whether a value fits.
_FIELDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a name", _is_name),
    "fingerprint": ("text", _is_text),
    "embedding_dim": (
        "a whole number of 1 or more",
        lambda value: _is_number(value) and value > 0,
    ),
    "kind": ("a kind of search", _is_kind),
    "built_as": ("a kind of search", _is_kind),
    "created": ("text", _is_text),
    "model": ("text", _is_text),
    "image_root": ("text or null", lambda value: value is None or _is_text(value)),
    "map": ("a plan of a map or null", _is_map),
    "calibration": (
        "a calibration or null",
        lambda value: value is None or problem_with(value) is None,
    ),
    "places": (
        "a name of codes or null",
        lambda value: value is None or is_name_of_places(value),
    ),
    "build": ("a whole number", _is_number),
    "count": ("a whole number", _is_number),
    "highest_row": ("a whole number", _is_number),
    "files": ("files of a build with their sizes and checksums", _is_list_of_files),
    "format": ("a whole number", _is_number),
}


def describe_file(path: Path) -> dict[str, Any]:
    """Returns the size and the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
