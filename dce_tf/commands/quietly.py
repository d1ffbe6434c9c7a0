"""Loads TensorFlow without the many lines that it prints meanwhile."""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any


def load_tensorflow_quietly() -> None:
    """Holds back what TensorFlow prints as it is imported, whenever that is.

    Commands that may do without it import it late.
    """
    waits = any(isinstance(each, _QuietFinder) for each in sys.meta_path)
    if "tensorflow" not in sys.modules and not waits:
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(MetaPathFinder):
    """Finds TensorFlow, until it is loaded."""

    def __init__(self) -> None:
        self._looks = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns where TensorFlow is, with a quiet loader; None for all else."""
        del path, target
        if fullname != "tensorflow" or self._looks:
            return None
        self._looks = True  # Elsewhere.
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looks = False
        if spec is None or spec.loader is None:
            return spec
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_quietly(module: Any) -> None:
            sys.meta_path.remove(self)
            with _quietly():
                execute(module)
                # Looks for GPUs, once, which without one is a matter of many words.
                module.config.list_physical_devices()

        loader.exec_module = execute_quietly
        return spec


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Holds back what is written to standard error, unless something fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        except BaseException:
            sink.seek(0)
            os.write(kept, sink.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
