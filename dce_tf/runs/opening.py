"""What a command line names, opened: a model and its data, or arrays of embeddings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.evaluation.evaluator import Embedder
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.plain import plain_config
from dce_tf.runs.stored_embeddings import stored_search

if TYPE_CHECKING:
    from dce_tf.runs.sources import Source

ARRAY_FLAGS = ("labels", "gallery", "gallery_labels")
"""The flags that go with embeddings in a `.npy`."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """What is to be scored.

    Attributes:
        source: The model; None for bare embeddings.
        config: The settings to score it with.
        embedder: Hands out embeddings.
        splits: The data.
        broken: Images that were left out and that no run has listed, with the reason.
    """

    source: Source | None
    config: Config
    embedder: Embedder
    splits: Splits
    broken: Mapping[str, str]

    @property
    def run(self) -> RunDirectory | None:
        """The run it is of, or None."""
        return self.source.run if self.source else None


def open_source(
    path: Path, given: Mapping[str, Any], arrays: Mapping[str, str], display: Display
) -> Opened:
    """Opens what is to be scored, and its data; writes nothing outside a run.

    Args:
        path: What the user named.
        given: The settings on the command line.
        arrays: Those of `ARRAY_FLAGS` on the command line.
        display: Shows how far reading is.

    Raises:
        UsageError: If flags do not fit the source.
        ValueError: If it, or its data, cannot be read.
    """
    if path.suffix == ".npy":
        embedder, splits = _open_arrays(path, given, arrays)
        return Opened(None, plain_config(given), embedder, splits, {})
    for name in arrays:
        raise UsageError(
            f"--{name} goes with embeddings in a .npy, and {path} is none. Leave it "
            "out."
        )
    # Embeddings in a file are scored without TensorFlow.
    from dce_tf.runs import devices
    from dce_tf.runs.loading import load_data, read_splits
    from dce_tf.runs.own_data import other_data
    from dce_tf.runs.sources import config_for, find_source

    source = find_source(path)
    config = config_for(source, given)
    devices.configure(config.run, config.network.mixed_precision)
    read = read_splits(config.data)
    other = other_data(source.run, read) if source.run is not None else None
    known = None
    if source.run is not None and other is None:
        own = source.run.config().data.same_images(config.data)
        known = source.run.bad_images_file if own else None
    data = load_data(config, known, display, for_training=False, splits=read)
    splits = data.splits
    if other is not None:
        splits = dataclasses.replace(splits, warnings=(*splits.warnings, other))
    broken = data.left_out if known is None else {}
    embedder = source.open(config, data.reader)
    return Opened(source, config, embedder, splits, broken)


def _open_arrays(
    path: Path, given: Mapping[str, Any], arrays: Mapping[str, str]
) -> tuple[Embedder, Splits]:
    for name in ("dataset", "data_dir"):
        if name in given:
            raise UsageError(
                f"--{name}: {path} holds embeddings, whose classes are in --labels. "
                "Leave it out."
            )
    if "gallery_labels" in arrays and "gallery" not in arrays:
        raise UsageError("--gallery_labels goes with --gallery. Pass both.")
    names = ("labels", "gallery_labels") if "gallery" in arrays else ("labels",)
    if not all(name in arrays for name in names):
        raise UsageError(
            f"{path} holds embeddings, and they need labels: give "
            f"{' and '.join(f'--{name}' for name in names)}."
        )
    files = [path, *([Path(arrays["gallery"])] if "gallery" in arrays else [])]
    return stored_search(files, [Path(arrays[name]) for name in names])
