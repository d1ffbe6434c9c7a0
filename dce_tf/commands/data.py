"""Counts and decodes the images of a data set."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from dce_tf.base.errors import UsageError
from dce_tf.base.files import write_json
from dce_tf.config.profiles import DEFAULT, find_recipe, measured_cost
from dce_tf.datasets import DATASETS, Images, Splits
from dce_tf.datasets.checks import require_train
from dce_tf.datasets.duplicates import Duplicate, find_duplicates
from dce_tf.datasets.index_writing import write_index
from dce_tf.datasets.verdicts import Verdicts, data_folder, read_verdicts
from dce_tf.reports.display import Display
from dce_tf.reports.tables import print_table

if TYPE_CHECKING:
    from dce_tf.images.scan import ImageFacts

PROBLEMS_FILE = "data_problems.json"
_SHOWN_PROBLEMS = 10
_SHOWN_DUPLICATES = 3


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Prints the table."""
    if arguments:
        raise UsageError(f"Unexpected word {arguments[0]!r}: flags begin with --.")
    if settings["verdicts"] and not settings["make_index"]:
        raise UsageError(
            "--verdicts says what a CSV index is to hold. Say where it goes with "
            "--make_index=FILE, too."
        )
    display = Display()
    splits = DATASETS.build(
        settings["dataset"],
        data_dir=settings["data_dir"],
        allow_partial_data=settings["allow_partial_data"],
    )
    # A folder that is no such data set is refused before TensorFlow is loaded.
    from dce_tf.images.scan import survey

    parts = parts_by_source(splits)
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
    recipe = find_recipe(DEFAULT, settings["dataset"])
    if recipe is not None and (cost := measured_cost(recipe)) is not None:
        display.note(cost)
    if settings["make_index"]:
        verdicts = _verdicts(settings, splits)
        write_index(splits, Path(settings["make_index"]), verdicts)
        if verdicts is not None:
            display.note(
                f"Verdicts: {len(verdicts.dropped)} images are left out, and "
                f"{len(verdicts.relabelled)} have another class."
            )
        display.note(f"Written: {settings['make_index']}")
    broken = {path: fact.problem for path, fact in facts.items() if fact.problem}
    duplicates = find_duplicates(parts)
    if broken or duplicates:
        file = Path(settings["output_dir"], PROBLEMS_FILE)
        write_json(file, as_document(broken, duplicates))
        _show(broken, duplicates, display)
        display.note(f"All are listed in {file}.")
    require_train(splits, settings["data_dir"])
    return _verdict(broken, splits, settings["max_bad_images"], display)


def parts_by_source(splits: Splits) -> dict[str, Images]:
    """Returns every set of images by name; of a mix, what each source has of it."""
    found: dict[str, Images] = {}
    for split, images in splits.parts().items():
        owners = sorted(images.numbers_of_sources())
        if ": " in split or not owners:
            found[split] = images
            continue
        for number in owners:
            found[f"{splits.sources[number]}: {split}"] = images.of_source(number)
    return found


def as_table(parts: Mapping[str, Images], facts: Mapping[str, ImageFacts]) -> Table:
    """Returns one row per split: how many, how large, and what is unusual."""
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


def _verdicts(settings: Mapping[str, Any], splits: Splits) -> Verdicts | None:
    if not settings["verdicts"]:
        return None
    files = [Path(file) for file in settings["verdicts"]]
    verdicts = read_verdicts(files, data_folder(settings["data_dir"]))
    parts = splits.parts().values()
    verdicts.check_known(path for part in parts for path in part.paths)
    return verdicts


def as_document(
    broken: Mapping[str, str], duplicates: Sequence[Duplicate]
) -> dict[str, Any]:
    """Returns what `PROBLEMS_FILE` holds.

    Args:
        broken: What is wrong with each broken image, by path.
        duplicates: The images that are there more than once.
    """
    return {
        "broken": dict(broken),
        "identical": [
            [dataclasses.asdict(each) for each in duplicate.found]
            for duplicate in duplicates
        ],
    }


def _show(
    broken: Mapping[str, str], duplicates: Sequence[Duplicate], display: Display
) -> None:
    for path, problem in list(broken.items())[:_SHOWN_PROBLEMS]:
        display.note(f"Broken: {path}: {problem}")
    if len(broken) > _SHOWN_PROBLEMS:
        display.note(f"… and {len(broken) - _SHOWN_PROBLEMS} more.")
    for kind, found in (
        ("class", [each for each in duplicates if each.in_two_classes]),
        ("split", [each for each in duplicates if each.in_two_splits]),
    ):
        if found:
            display.note(
                "Warning: the same file, byte for byte, is in more than one "
                f"{kind} ({len(found)} such), for example:"
            )
        for duplicate in found[:_SHOWN_DUPLICATES]:
            display.note(
                "  "
                + ", ".join(
                    f"{each.path} ({each.split}, class {each.name})"
                    for each in duplicate.found
                )
            )


def _verdict(
    broken: Mapping[str, str], splits: Splits, max_bad_images: float, display: Display
) -> int:
    from dce_tf.runs.broken import too_many_broken

    too_many = too_many_broken(broken, splits, max_bad_images)
    if too_many is None:
        return 0
    display.note(
        f"Unusable: {too_many}, more than --max_bad_images={max_bad_images} allows."
    )
    return 1
