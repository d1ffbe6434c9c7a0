"""Reads a PyTorch checkpoint into a `.keras` file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.files import replacing
from dce_tf.runs.importing import import_checkpoint


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Imports."""
    if len(arguments) != 1:
        raise UsageError(f"Expected one checkpoint file; received {len(arguments)}.")
    path = Path(arguments[0])
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file.")
    target = Path(settings["output"] or path.with_suffix(".keras"))
    if target.suffix != ".keras":
        raise UsageError(f"--output={target}: expected a file that ends in .keras.")
    model = import_checkpoint(path, settings["num_clusters"])
    with replacing(target) as temporary:
        model.save(temporary)
    print(target)
    return 0
