"""What a search for broken images found, so that the next run need not search again."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from dce_tf.base.files import facts_of_file, write_json

_VERSION = 1  # To be raised when other images are taken for broken.
_DECODERS = ("tensorflow", "pillow")


class LookedAt:
    """The outcome of a search through these images as they are now.

    A file is the same while its size and the time of its last change are.

    Args:
        folder: Keeps the outcomes of all searches.
        paths: The image files, in any order that stays.
        max_pixels: Images of more pixels are taken for broken.
    """

    def __init__(self, folder: Path, paths: Sequence[str], max_pixels: int) -> None:
        digest = hashlib.sha256(f"{_VERSION} {max_pixels}".encode())
        for package in _DECODERS:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                digest.update(importlib.metadata.version(package).encode() + b"\n")
        for path in paths:
            digest.update(path.encode("utf-8", "surrogateescape") + b"\0")
            digest.update(facts_of_file(Path(path)).encode() + b"\0")
        self._count = len(paths)
        self._file = folder / f"{digest.hexdigest()}.json"

    @property
    def are_sound(self) -> bool:
        """Whether somebody has looked at all of them, and found none broken."""
        return self._file.is_file()

    def keep(self) -> None:
        """Keeps that none is broken, where the folder can be written.

        That some are is not kept: the disk may have failed, and not the images.
        """
        with contextlib.suppress(OSError, ValueError):
            write_json(self._file, {"images": self._count})
