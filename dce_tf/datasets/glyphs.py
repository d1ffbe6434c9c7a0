"""The built-in data set: characters in the typefaces that ship with matplotlib.

Nothing is downloaded. The pictures are rendered once into a folder that is a data
set of the csv format, and read as one from then on.
"""

from __future__ import annotations

import collections
import contextlib
import csv
import hashlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.base.files import cache_folder
from dce_tf.datasets import DATASETS, csv_index
from dce_tf.datasets.glyph_classes import GlyphClass, choose_classes, find_faces
from dce_tf.datasets.glyph_pictures import draw_instances, load_fonts
from dce_tf.datasets.splits import Splits

VERSION = 1  # raise it when the pictures change: old folders are then left alone
NUM_INSTANCES = 12  # images per class

_SPLIT_SEED = 0


@DATASETS.register("glyphs")
def read_glyphs(data_dir: str | None = None) -> Splits:
    """Reads the built-in glyphs, rendering them first where they are not yet.

    Args:
        data_dir: The folder to keep `glyphs-<version>/` in; None or `""` for
            `~/.cache/dce_tf`, or `dce_tf` below `$XDG_CACHE_HOME` where that is set.

    Raises:
        ValueError: If the folder cannot be written.
    """
    root = Path(data_dir).expanduser() if data_dir else cache_folder()
    folder = root / f"glyphs-{VERSION}"
    if not is_complete(folder):
        print(f"Rendering glyphs into {folder} …", file=sys.stderr)
        render(folder, choose_classes(), NUM_INSTANCES)
    return csv_index.read_index(folder / "index.csv")


def render(folder: Path, classes: Sequence[GlyphClass], num_instances: int) -> None:
    """Renders a data set into `folder`, which appears whole or not at all.

    Two processes may do this at once: both draw the same, and one of them wins.

    Args:
        folder: What to make; replaced if it is there but not complete.
        classes: What to draw.
        num_instances: Images per class.

    Raises:
        ValueError: If the folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=".rendering-", dir=folder.parent, ignore_cleanup_errors=True
        ) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            _write(fresh, classes, num_instances)
            _put_in_place(fresh, folder, Path(scratch) / "stale")
    except OSError as error:
        raise ValueError(
            f"{folder}: cannot be written ({error}); expected a folder to render the "
            "glyphs into. Pass another one as --data_dir."
        ) from error


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds a whole rendering: its files are those it was given."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return bool(manifest == _survey(folder))
    except (OSError, ValueError):
        return False


def assign_splits(classes: Sequence[GlyphClass]) -> dict[str, str]:
    """Puts half the classes of every script into train and half into test.

    Args:
        classes: What to share out.

    Returns:
        `"train"` or `"test"`, by class name.
    """
    scripts = collections.defaultdict(list)
    for glyph_class in classes:
        scripts[glyph_class.script].append(glyph_class.name)
    rng = np.random.default_rng(_SPLIT_SEED)
    shuffled = [
        name for _, names in sorted(scripts.items()) for name in rng.permutation(names)
    ]
    return {str(name): ("train", "test")[i % 2] for i, name in enumerate(shuffled)}


def _write(folder: Path, classes: Sequence[GlyphClass], num_instances: int) -> None:
    """Writes the pictures, their index, and last the manifest."""
    splits = assign_splits(classes)
    fonts = load_fonts(find_faces())
    index = io.StringIO()
    writer = csv.writer(index, lineterminator="\n")
    writer.writerow((*csv_index.HEADER, "group"))
    for glyph_class in classes:
        code = f"{ord(glyph_class.character):04X}"
        (folder / "images" / code).mkdir(parents=True)
        pictures = draw_instances(glyph_class, num_instances, fonts)
        for i, picture in enumerate(pictures):
            path = f"images/{code}/{i:02}.png"
            picture.save(folder / path)
            split = splits[glyph_class.name]
            writer.writerow((path, glyph_class.name, split, glyph_class.script))
    (folder / "index.csv").write_text(index.getvalue(), encoding="utf-8")
    manifest = json.dumps(_survey(folder), indent=2) + "\n"
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")


def _survey(folder: Path) -> dict[str, Any]:
    """Describes what lies in `folder` so that a loss shows, without decoding it."""
    index = (folder / "index.csv").read_bytes()
    sizes = [
        entry.stat().st_size
        for parent, _, _ in os.walk(folder / "images")
        for entry in os.scandir(parent)
        if entry.is_file()
    ]
    return {
        "version": VERSION,
        "index_sha256": hashlib.sha256(index).hexdigest(),
        "num_images": len(sizes),
        "image_bytes": sum(sizes),
    }


def _put_in_place(fresh: Path, folder: Path, stale: Path) -> None:
    """Moves `fresh` to `folder`, and what is in the way to `stale`."""
    if is_complete(folder):  # another process was faster
        return
    with contextlib.suppress(FileNotFoundError):
        folder.rename(stale)
    try:
        fresh.rename(folder)
    except OSError:
        if not is_complete(folder):
            raise
