"""Writing files so that a reader, a crash or another writer never meets half of one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = TypeVar("Array", bound=npt.NDArray[Any])

_REFUSALS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
)


def cache_folder() -> Path:
    """Returns where the XDG base directory rules put a program's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The rules say that a relative path there is to be passed over.
    base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return base / "dce_tf"


def facts_of_file(path: Path) -> str:
    """Returns size and time of a file, which tell that it changed; "" if it is gone."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which takes its place on success.

    The temporary keeps the suffixes of `path`, as many writers choose a format by them.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(path.name, ".tmp-", path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with explained(path):
            yield temporary
        temporary.chmod(0o644)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def becoming(folder: Path) -> Iterator[Path]:
    """Gives an empty folder beside `folder`, which takes its place on success.

    What was there before is removed. Readers find all or nothing.
    """
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    fresh, stale = scratch / "fresh", scratch / "stale"
    try:
        fresh.mkdir()
        with explained(folder):
            yield fresh
            with contextlib.suppress(FileNotFoundError):
                folder.rename(stale)
            try:
                fresh.rename(folder)
            except BaseException:
                if stale.exists() and not folder.exists():
                    stale.rename(folder)
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def array_on_disk(folder: Path, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """Returns zeros in a file without a name, which goes when nobody uses them.

    Args:
        folder: Where the file lies.
        shape: Of the float32 array; none of it 0.

    Raises:
        OSError: If there is no room.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # At once, as a disk that fills up later ends the process without a word.
            os.posix_fallocate(file.fileno(), 0, 4 * math.prod(shape))
            return np.memmap(file, np.float32, "r+", shape=shape)


def kept_array(file: Path, make: Callable[[], Array]) -> Array:
    """Returns the array that a `.npy` file keeps; one that is not there is made.

    Args:
        file: May be removed at any time; one that was cut short is made again.
        make: Returns the array.
    """
    if file.is_file():
        with contextlib.suppress(ValueError, EOFError):  # Cut short.
            kept: Array = np.load(file, allow_pickle=False)
            return kept
    array = make()
    with replacing(file) as temporary:
        np.save(temporary, array)
    return array


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Says which file it was, and what to do, where the system refuses to write."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise OSError(
            error.errno,
            f"{path} cannot be written: {error.strerror}. What was there is kept. Make "
            "room, or name another folder; then the same command goes on",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


@contextlib.contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Holds a lock file, which other processes are refused; it goes with the process.

    Args:
        path: The file.
        message: What the other is told.

    Raises:
        OSError: If its folder cannot be written.
        ValueError: If another process holds it, or another part of this one.
    """
    with contextlib.ExitStack() as held:
        while True:
            with explained(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = held.enter_context(path.open("w"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(message) from error
            # Whoever held it before may have removed it: then this is no lock.
            if _is_at(path, file.fileno()):
                break
        yield


def _is_at(path: Path, number: int) -> bool:
    """Returns whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False
