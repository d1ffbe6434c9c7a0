"""Holding a run, so that one that is refused leaves nothing behind."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from dce_tf.record.run_directory import RunDirectory
from dce_tf.training.checkpoints import Checkpoints


@contextlib.contextmanager
def held(run: RunDirectory) -> Iterator[None]:
    """Keeps other processes from a run, and takes back one that does not begin.

    A run has begun with its first metrics. If it fails before, all that was written of
    it goes, the folders made for it too, and the run that it was to overwrite comes
    back. Whoever stops it with Ctrl-C keeps what is there: the search for broken images
    may have been long.

    Args:
        run: The run.

    Raises:
        ValueError: If another process holds it.
    """
    folders = [run.path, *run.path.parents]
    missing = [folder for folder in folders if not folder.exists()]
    known = {path.name for path in run.path.iterdir()} if run.path.is_dir() else set()
    with_lock = run.lock_file.exists()
    try:
        with run.locked():
            run.bring_back()
            try:
                yield
            except Exception:
                if not run.metrics_file.is_file():
                    _remove_but(run.path, known)
                    run.bring_back()
                    if not with_lock:
                        run.lock_file.unlink(missing_ok=True)
                raise
    except Exception:
        _remove_empty(missing)
        raise


def _remove_but(folder: Path, known: set[str]) -> None:
    """Removes what was not there before."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in known:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _remove_empty(folders: Sequence[Path]) -> None:
    """Removes folders, the innermost first, unless others have put something there."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def what_is_kept(run: RunDirectory, overwrites: bool) -> str:
    """Says what the same command will do after a request to stop."""
    if Checkpoints(run.checkpoints).is_empty():
        return "There is no checkpoint yet, so the same command begins again."
    if overwrites:
        return "Without --overwrite the same command goes on from the last checkpoint."
    return "The same command goes on from the last checkpoint."
