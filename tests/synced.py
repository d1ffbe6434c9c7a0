"""Files, as they were when they were last synchronised to the disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Synced(NamedTuple):
    """What a file held when it was last synchronised to the disk."""

    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, file: Path | int) -> Synced:
        """Describes a file, or an open one by its number, as it is now."""
        found = os.fstat(file) if isinstance(file, int) else file.stat()
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)
