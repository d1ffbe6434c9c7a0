"""Tiny trees in every data set's own format, of pictures that can be learned."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def draw_image(label: int, rng: np.random.Generator, size: int = 32) -> Image.Image:
    """Draws a class: the label chooses colour and shape, chance the place and grain."""
    hue = label * 0.618 % 1  # golden ratio: neighbours in number are far in colour
    rgb = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.8, 0.9))
    image = Image.new("RGB", (size, size), (90, 90, 90))
    radius = rng.uniform(0.22, 0.32) * size
    x, y = rng.uniform(0.4, 0.6, 2) * size
    draw = ImageDraw.Draw(image)
    if label % 3:
        draw.regular_polygon((x, y, radius), 2 + label % 3, fill=rgb)
    else:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb)
    grain = rng.normal(0, 12, (size, size, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def write_image(path: Path, label: int, rng: np.random.Generator, size: int) -> None:
    """Saves one picture of class `label`, making the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_image(label, rng, size).save(path, quality=90)


def write_csv(
    root: Path,
    num_classes: int = 8,
    images_per_class: int = 6,
    size: int = 32,
    splits: Sequence[str] = ("train", "test"),
) -> Path:
    """Writes `index.csv` and JPEGs; each split has `num_classes` classes of its own.

    Query and gallery share theirs.

    Returns:
        What to pass as --data_dir.
    """
    rows = _write_images(root, "images", num_classes, images_per_class, size, splits)
    lines = [f"{path},{name},{split}" for path, name, split in rows]
    (root / "index.csv").write_text("\n".join(["path,label,split", *lines, ""]))
    return root


def write_folder(
    root: Path,
    num_classes: int = 8,
    images_per_class: int = 6,
    size: int = 32,
    splits: Sequence[str] = ("train", "test"),
) -> Path:
    """Writes `SPLIT/CLASS/*.jpg`, with the same classes as `write_csv`."""
    _write_images(root, "", num_classes, images_per_class, size, splits)
    return root


def write_inshop(
    root: Path, num_classes: int = 8, images_per_class: int = 6, size: int = 32
) -> Path:
    """Writes the official layout of In-Shop; needs allow_partial_data."""
    splits = ("train", "query", "gallery")
    rows = list(
        _write_images(root / "Img", "img", num_classes, images_per_class, size, splits)
    )
    lines = [f"{path} {name} {split}" for path, name, split in rows]
    head = [str(len(lines)), "image_name item_id evaluation_status"]
    (root / "Eval").mkdir(exist_ok=True)
    (root / "Eval" / "list_eval_partition.txt").write_text("\n".join([*head, *lines]))
    return root


def _write_images(
    root: Path,
    below: str,
    num_classes: int,
    images_per_class: int,
    size: int,
    splits: Sequence[str],
) -> Iterable[tuple[str, str, str]]:
    """Writes `below/SPLIT/CLASS/*.jpg`; returns path, class and split of each."""
    rng = np.random.default_rng(0)
    first = {"train": 0, "val": 1}  # the others are the test, however many they are
    rows = []
    for split in splits:
        for k in range(num_classes):
            label = first.get(split, 2) * num_classes + k
            name = f"id_{label:08}"
            for i in range(images_per_class):
                path = "/".join(filter(None, (below, split, name, f"{i:02}.jpg")))
                write_image(root / path, label, rng, size)
                rows.append((path, name, split))
    return rows
