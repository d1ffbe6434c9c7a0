"""Findings as a table that a person edits."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dce_tf.base.files import replacing
from dce_tf.datasets.verdicts import COLUMNS, whole_path
from dce_tf.doctor.examining import Examination


def write_table(
    examination: Examination, broken: Mapping[str, str], root: Path | None, path: Path
) -> None:
    """Writes one line per image of each finding, with an empty verdict.

    Args:
        examination: What was found.
        broken: Why other images could not be examined, by their path.
        root: Folder that paths are shown relative to; None shows them whole.
        path: The CSV file.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(examination, root))
        for image, reason in broken.items():
            shown = shown_path(image, root)
            writer.writerow((shown, "broken", "", "", "", "", "drop", "", reason))


def _rows(examination: Examination, root: Path | None) -> Iterator[tuple[str, ...]]:
    population = examination.population
    for finding in examination.findings:
        for place, row in enumerate(finding.rows):
            other = finding.other(place)
            yield (
                shown_path(population.paths[row], root),
                finding.kind,
                f"{finding.score:.4f}",
                "" if other is None else shown_path(population.paths[other], root),
                population.name(row),
                "",
                finding.suggestion,
                population.split(row),
                finding.text,
            )


def shown_path(path: str, root: Path | None) -> str:
    """Returns a path below a folder as it reads from there, any other whole."""
    whole = whole_path(path)
    if root is None:
        return whole
    relative = os.path.relpath(whole, whole_path(root))
    return whole if relative.startswith("..") else relative
