"""What a collection's directory says of itself, and how its files are checked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from dce_tf.files import write_json

FILE = "manifest.json"
FORMAT = 1


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
    build: int = 1
    count: int = 0
    highest_row: int = 0
    files: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Reads the manifest of a directory.

        Raises:
            ValueError: If the directory is none of a collection, or of another format.
        """
        path = folder / FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            found = values["format"]
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder} is no index: it has no {FILE}. Make one with "
                "`python main.py index EMBEDDINGS`."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} cannot be read: {error}. Make the index anew."
            ) from error
        if found != FORMAT:
            raise ValueError(
                f"{path}: found format {found!r}; expected {FORMAT}. Make the index "
                "anew with this version of dce_tf."
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(
                f"{path} is not complete: {error}. Make the index anew."
            ) from error

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


def describe_file(path: Path) -> dict[str, Any]:
    """Returns the size and the SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
