"""Look at a data set before training: counts, and every image decoded once.

Exits with 1 if it cannot be trained on. `--make_index=FILE` writes it as a CSV index,
for `--dataset=csv`.
"""

from __future__ import annotations

import collections
import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from rich.table import Table

from dce_tf import config as config_module
from dce_tf.datasets import DATASETS, Images, Splits
from dce_tf.errors import UsageError
from dce_tf.files import replacing
from dce_tf.reports.tables import print_table
from dce_tf.scan import ImageFacts, survey
from dce_tf.training.display import Display

_SETTINGS = (
    "dataset",
    "data_dir",
    "allow_partial_data",
    "max_bad_images",
    "max_image_pixels",
    "num_workers",
)
_SHOWN_PROBLEMS = 10


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    config_module.define_flags(values, [*_SETTINGS, "verbose"])
    flags.DEFINE_string(
        "make_index", None, "Write the data set as this CSV index.", flag_values=values
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Prints the table."""
    if arguments:
        raise UsageError(f"Unexpected word {arguments[0]!r}: flags begin with --.")
    display = Display()
    splits = DATASETS.build(
        settings["dataset"],
        data_dir=settings["data_dir"],
        allow_partial_data=settings["allow_partial_data"],
    )
    parts = splits.parts()
    paths = sorted({path for part in parts.values() for path in part.paths})
    with display.task("looking at every image", len(paths)) as update:
        found = survey(
            paths,
            max_pixels=settings["max_image_pixels"],
            num_workers=settings["num_workers"],
            on_progress=lambda done: update(done, ""),
        )
    facts = dict(zip(paths, found, strict=True))
    print_table(as_table(parts, facts))
    for warning in splits.warnings:
        display.note(f"Warning: {warning}")
    if settings["make_index"]:
        write_index(splits, Path(settings["make_index"]))
        display.note(f"Written: {settings['make_index']}")
    return _verdict(facts, settings["max_bad_images"], display)


def as_table(parts: Mapping[str, Images], facts: Mapping[str, ImageFacts]) -> Table:
    """Returns a row a split: how many, how large, and what is unusual."""
    table = Table()
    table.add_column("split")
    for heading in (
        "images",
        "classes",
        "a class: least",
        "median",
        "most",
        "broken",
        "grey",
        "alpha",
        "turned",
        "smallest side",
    ):
        table.add_column(heading, justify="right")
    for name, images in parts.items():
        sizes = np.unique(images.labels, return_counts=True)[1]
        own = [facts[path] for path in images.paths]
        modes = collections.Counter(fact.mode for fact in own)
        sides = [min(fact.size) for fact in own if not fact.problem]
        figures = (
            len(images),
            len(sizes),
            sizes.min(),
            f"{np.median(sizes):g}",
            sizes.max(),
            sum(bool(fact.problem) for fact in own),
            modes["L"] + modes["1"] + modes["I;16"],
            modes["RGBA"] + modes["LA"] + modes["PA"],
            sum(fact.turned for fact in own),
            min(sides, default=0),
        )
        table.add_row(name, *map(str, figures))
    return table


def write_index(splits: Splits, path: Path) -> None:
    """Writes splits as a CSV index, with paths relative to its folder.

    Of several tests it holds the first; images of no known class have no place in it.

    Raises:
        ValueError: If an image does not lie below that folder.
    """
    root = path.parent.resolve()
    parts = Splits(splits.train, splits.val, splits.tests[:1]).parts()
    grouped = any(images.groups is not None for images in parts.values())
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "split", *(["group"] if grouped else [])))
        for split, images in parts.items():
            for row, (image, label) in enumerate(
                zip(images.paths, images.labels, strict=True)
            ):
                line = [_below(root, image, path), images.class_names[label], split]
                if grouped:
                    line.append(_group_name(images, row))
                writer.writerow(line)


def _below(root: Path, image: str, index: Path) -> str:
    # Not the image itself: it may be a link to wherever.
    folder = Path(image).parent.resolve()
    relative = os.path.relpath(folder / Path(image).name, root)
    if relative.startswith(".."):
        raise ValueError(
            f"--make_index={index}: {image} does not lie below {root}, and a CSV "
            "index names images below its own folder. Write it into the data set's "
            "folder."
        )
    return relative


def _group_name(images: Images, row: int) -> str:
    if images.groups is None or images.groups[row] < 0:
        return ""
    return str(images.groups[row])


def _verdict(
    facts: Mapping[str, ImageFacts], max_bad_images: float, display: Display
) -> int:
    broken = {path: fact.problem for path, fact in facts.items() if fact.problem}
    for path, problem in list(broken.items())[:_SHOWN_PROBLEMS]:
        display.note(f"Broken: {path}: {problem}")
    if len(broken) > _SHOWN_PROBLEMS:
        display.note(f"… and {len(broken) - _SHOWN_PROBLEMS} more.")
    if len(broken) <= max_bad_images * len(facts):
        return 0
    display.note(
        f"Unusable: {len(broken)} of {len(facts)} images are broken, more than "
        f"--max_bad_images={max_bad_images} allows."
    )
    return 1
