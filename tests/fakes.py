"""Tiny trees in every data set's own format, of pictures that can be learned."""

from __future__ import annotations

import colorsys
import io
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import scipy.io
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


def odd_photograph(size: tuple[int, int], colour: tuple[int, int, int]) -> bytes:
    """Returns a JPEG that lies on its side and gives its ResolutionUnit as text."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    entries += struct.pack("<HHI4s", 0x0128, 2, 2, b"2")
    tiff = struct.pack("<2sHIH", b"II", 42, 8, 2) + entries + bytes(4)
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG", exif=b"Exif\0\0" + tiff)
    return buffer.getvalue()


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


def write_mix(
    root: Path,
    num_classes: int = 8,
    images_per_class: int = 6,
    splits: Sequence[str] = ("train", "test"),
) -> Path:
    """Writes two data sets for `mix(csv=shop, folder=shelf)`, of images of two sizes.

    Args:
        root: What to pass as --data_dir.
        num_classes: Of each split.
        images_per_class: Of each class.
        splits: Of the folder; the CSV index has a train and a test split.
    """
    write_csv(root / "shop", num_classes, images_per_class, 32)
    write_folder(root / "shelf", num_classes, images_per_class, 48, splits)
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


def write_sop(
    root: Path, num_classes: int = 8, images_per_class: int = 6, size: int = 32
) -> Path:
    """Writes the official layout of SOP; needs allow_partial_data."""
    splits = ("train", "test")
    rows = list(_write_images(root, "", num_classes, images_per_class, size, splits))
    for split in splits:
        named = [(path, name) for path, name, part in rows if part == split]
        lines = ["image_id class_id super_class_id path"]
        lines += [f"{i} {name} 1 {path}" for i, (path, name) in enumerate(named, 1)]
        (root / f"Ebay_{split}.txt").write_text("\n".join(lines))
    return root


def write_cub(
    root: Path, num_classes: int = 4, images_per_class: int = 3, size: int = 32
) -> Path:
    """Writes the official layout of CUB, half of the classes with numbers above 100."""
    rows = _numbered(root, "images", num_classes, images_per_class, size, 100)
    images = [f"{i} {path}" for i, (path, _) in enumerate(rows, 1)]
    labels = [f"{i} {label}" for i, (_, label) in enumerate(rows, 1)]
    (root / "images.txt").write_text("\n".join(images))
    (root / "image_class_labels.txt").write_text("\n".join(labels))
    return root


def write_cars(
    root: Path, num_classes: int = 4, images_per_class: int = 4, size: int = 32
) -> Path:
    """Writes CARS196 as one annotation file, half of the classes above number 98."""
    rows = _numbered(root, "car_ims", num_classes, images_per_class, size, 98)
    named = [(f"car_ims/{path}", label) for path, label in rows]
    _save_annotations(root / "cars_annos.mat", "relative_im_path", named)
    return root


def write_cars_devkit(
    root: Path, num_classes: int = 4, images_per_class: int = 4, size: int = 32
) -> Path:
    """Writes CARS196 as the split devkit: half of the images of a class each."""
    for part, name in (("train", "annos"), ("test", "annos_withlabels")):
        rows = _numbered(
            root, f"cars_{part}", num_classes, images_per_class // 2, size, 98
        )
        path = root / "devkit" / f"cars_{part}_{name}.mat"
        _save_annotations(path, "fname", rows)
    return root


def write_vid(
    root: Path, num_classes: int = 8, images_per_class: int = 6, size: int = 32
) -> Path:
    """Writes the official layout of VehicleID, with one test list for all sizes."""
    splits = ("train", "test")
    rows = list(
        _write_images(root, "image", num_classes, images_per_class, size, splits)
    )
    lists = {
        "train": ["train_list"],
        "test": [f"test_list_{n}" for n in (800, 1600, 2400)],
    }
    (root / "train_test_split").mkdir()
    for split, names in lists.items():
        lines = [
            f"{path.removeprefix('image/').removesuffix('.jpg')} {name}"
            for path, name, part in rows
            if part == split
        ]
        for name in names:
            path = root / "train_test_split" / f"{name}.txt"
            path.write_text("\n".join(lines))
    return root


def write_whale(
    root: Path, num_classes: int = 10, images_per_class: int = 5, size: int = 32
) -> Path:
    """Writes Kaggle's layout, half as many unknown whales as known ones.

    Besides: a whale with one image, and a test without labels, of two images a whale.
    """
    rng = np.random.default_rng(0)
    lines, answers = ["Image,Id"], ["Image,Id"]

    def write(folder: str, name: str, label: int) -> str:
        image = f"{folder[:2]}_{name}_{len(lines) + len(answers):04}.jpg"
        write_image(root / folder / image, label, rng, size)
        return image

    for label in range(num_classes):
        for _ in range(images_per_class):
            lines.append(f"{write('train', 'w', label)},w_{label:07x}")
        for _ in range(2):
            image = write("test", "q", label)
            answers.append(f"{image},new_whale w_1287fbc w_98baff9")
    lines.append(f"{write('train', 'w', 200)},w_lone")
    for label in range(num_classes, num_classes * 3 // 2):
        for _ in range(images_per_class):
            lines.append(f"{write('train', 'n', label)},new_whale")
    (root / "train.csv").write_text("\n".join([*lines, ""]))
    (root / "sample_submission.csv").write_text("\n".join([*answers, ""]))
    return root


def _numbered(
    root: Path,
    folder: str,
    num_classes: int,
    images_per_class: int,
    size: int,
    cut: int,
) -> list[tuple[str, int]]:
    """Writes `folder/NUMBER/*.jpg`, half of the classes above `cut`; path and class."""
    rng = np.random.default_rng(0)
    half = num_classes // 2
    rows = []
    for label in (*range(1, half + 1), *range(cut + 1, cut + half + 1)):
        for i in range(images_per_class):
            path = f"{label:03}/{i:02}.jpg"
            write_image(root / folder / path, label, rng, size)
            rows.append((path, label))
    return rows


def _save_annotations(path: Path, field: str, rows: list[tuple[str, int]]) -> None:
    annotations = np.empty((1, len(rows)), [(field, object), ("class", object)])
    for i, row in enumerate(rows):
        annotations[0, i] = row
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"annotations": annotations})


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
