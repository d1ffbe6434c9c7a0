"""Data sets made of the grocery photographs: larger ones, and longer lists."""

from __future__ import annotations

import csv
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

_QUALITY = 90
_EVERY = 11  # This many photographs are one file of a long list.
_GRAIN = 3.0  # Standard deviation of the noise: an enlarged photograph has none.

Row = dict[str, str]


def read_index(data_dir: Path) -> list[Row]:
    """Reads `index.csv`, with paths that do not depend on where it lies."""
    with (data_dir / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["path"] = str((data_dir / row["path"]).resolve())
    return rows


def write_index(folder: Path, rows: list[Row]) -> Path:
    """Writes `index.csv`; returns what to pass as --data_dir."""
    columns = ("path", "label", "split")
    with (folder / "index.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def enlarge(source: Path, target: Path, side: int, seed: int) -> None:
    """Writes a photograph with a given shorter side, and grain.

    The grain gives its JPEG the size of a real one: about a quarter byte a pixel.
    """
    with Image.open(source) as image:
        ratio = side / min(image.size)
        size = round(image.width * ratio), round(image.height * ratio)
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, _GRAIN, (large.height, large.width, 1)).astype(np.float32)
    pixels = (np.asarray(large, np.float32) + grain).clip(0, 255).astype(np.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(target, quality=_QUALITY)


def write_enlarged(data_dir: Path, folder: Path, side: int, num_images: int) -> Path:
    """Writes a data set of enlarged photographs, evenly from all of them.

    Args:
        data_dir: The grocery photographs.
        folder: Where to.
        side: Shorter side in pixels.
        num_images: How many.

    Returns:
        What to pass as --data_dir.
    """
    rows = read_index(data_dir)
    chosen = np.linspace(0, len(rows) - 1, min(num_images, len(rows))).astype(int)
    kept = []
    for number in np.unique(chosen).tolist():
        path = folder / f"{number:05d}.jpg"
        enlarge(Path(rows[number]["path"]), path, side, number)
        kept.append({**rows[number], "path": path.name})
    return write_index(folder, kept)


def write_long_list(
    data_dir: Path, folder: Path, num_train: int, num_classes: int
) -> Path:
    """Writes a list as long as that of a large data set, of the few photographs.

    The test is as long as the training split, of other classes. Labels are made up, so
    that recall says nothing, but every image is read, embedded and searched.

    Args:
        data_dir: The grocery photographs.
        folder: Where to.
        num_train: Images to train on, and to test with.
        num_classes: Of how many classes each.

    Returns:
        What to pass as --data_dir.
    """
    files: list[Path] = []
    for row in read_index(data_dir)[::_EVERY]:
        files.append(folder / f"{len(files):04d}{Path(row['path']).suffix}")
        shutil.copy(row["path"], files[-1])

    def rows() -> Iterator[Row]:
        sources = itertools.cycle(files)
        for split in ("train", "test"):
            (folder / split).mkdir()
            for number in range(num_train):
                source = next(sources)
                # A data set names each image once; a link takes no room.
                path = Path(split, f"{number:06d}{source.suffix}")
                (folder / path).hardlink_to(source)
                label = f"{split}-{number % num_classes:05d}"
                yield {"path": str(path), "label": label, "split": split}

    return write_index(folder, list(rows()))
