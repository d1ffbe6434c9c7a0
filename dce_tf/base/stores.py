"""Files in a store, s3://… or gs://…, as if they were paths."""

from __future__ import annotations

import dataclasses
import posixpath
from pathlib import Path
from urllib.parse import quote, urlsplit

import pyarrow as pa
from pyarrow import fs

from dce_tf.base.errors import UsageError, first_line

SCHEMES = ("s3", "gs", "gcs", "file")


@dataclasses.dataclass(frozen=True)
class RemotePath:
    """A file or folder in a store; what is used of `pathlib.Path`, for reading.

    Attributes:
        filesystem: The store.
        path: Where it lies there, with its bucket.
        scheme: Which kind of store, such as `s3`.
        options: What follows in its address, such as `?region=eu-west-1`.
    """

    filesystem: fs.FileSystem
    path: str
    scheme: str
    options: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{quote(self.path)}{self.options}"

    def __truediv__(self, relative: str) -> RemotePath:
        return dataclasses.replace(self, path=posixpath.join(self.path, relative))

    @property
    def parent(self) -> RemotePath:
        """The folder that it lies in."""
        return dataclasses.replace(self, path=posixpath.dirname(self.path))

    @property
    def suffix(self) -> str:
        """How its name ends, from the last dot on."""
        return posixpath.splitext(self.path)[1]

    def resolve(self) -> RemotePath:
        """Returns itself: an address has one spelling."""
        return self

    def exists(self) -> bool:
        """Whether there is such a file or folder."""
        return bool(self._kind() != fs.FileType.NotFound)

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return bool(self._kind() == fs.FileType.Directory)

    def is_file(self) -> bool:
        """Whether it is a file."""
        return bool(self._kind() == fs.FileType.File)

    def _kind(self) -> fs.FileType:
        return self.filesystem.get_file_info(self.path).type

    def read_bytes(self) -> bytes:
        """Returns what is in the file."""
        with self.filesystem.open_input_stream(self.path) as file:
            content: bytes = file.read()
        return content

    def read_text(self, encoding: str) -> str:
        """Returns the text in the file."""
        return self.read_bytes().decode(encoding)

    def files_below(self) -> list[str]:
        """Returns the files in the folder, at any depth, relative to it."""
        found = self.filesystem.get_file_info(
            fs.FileSelector(self.path, recursive=True)
        )
        return [
            posixpath.relpath(each.path, self.path) for each in found if each.is_file
        ]


Place = Path | RemotePath


def place_of(text: str) -> Place:
    """Returns where a path or an address of the command line points to.

    Raises:
        UsageError: If there is no such kind of store, or the address holds a password.
    """
    if "://" not in text:
        return Path(text)
    scheme = text.partition("://")[0]
    if scheme not in SCHEMES:
        raise UsageError(
            f"{text}: found an address of {scheme}; expected a path, or an address of "
            f"{', '.join(SCHEMES)}."
        )
    if urlsplit(text).password is not None:
        # It would end up in every file that names its images.
        raise UsageError(
            f"An address {scheme}://… with a password in it. Give keys as the store "
            "itself reads them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    try:
        filesystem, path = fs.FileSystem.from_uri(text)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise UsageError(f"{text} cannot be opened: {first_line(error)}.") from error
    _, mark, options = text.partition("?")
    return RemotePath(filesystem, path.rstrip("/"), scheme, mark + options)
