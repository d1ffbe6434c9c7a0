"""Examines a data set."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from dce_tf.base.errors import UsageError
from dce_tf.base.files import write_json
from dce_tf.base.program import PROGRAM
from dce_tf.commands.examined import Examined, open_examined
from dce_tf.commands.flags.doctor import OVERRIDES
from dce_tf.commands.selecting import named_path, values_of
from dce_tf.doctor.duplicates import Nearness
from dce_tf.doctor.examining import Examination, examine
from dce_tf.doctor.findings import KINDS
from dce_tf.doctor.pictures import Pictures, look_at
from dce_tf.doctor.report import write_report
from dce_tf.doctor.table import write_table
from dce_tf.hub.address import name_of
from dce_tf.reports.display import Display
from dce_tf.reports.tables import print_table

_SHOWN_SCORES = ("recall@1", "map@r")


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Examines."""
    path, nearness = named_path(settings, arguments), _nearness(settings)
    display = Display(quiet=settings["json"])
    given = values_of(settings, OVERRIDES)
    examined = open_examined(path, given, settings["images"], display)
    pictures = _look(examined, display) if settings["pictures"] else None
    with display.task("comparing", len(examined.population)) as update:
        examination = examine(
            examined.population,
            examined.embeddings,
            pictures,
            examined.splits,
            nearness=nearness,
            exclude=examined.config.evaluation.exclude,
            seed=examined.config.run.random_seed,
            on_progress=lambda done: update(done, ""),
        )
    folder = Path(settings["output_dir"] or (examined.run or Path()) / "doctor")
    table = folder / "findings.csv"
    write_table(examination, examined.broken, examined.root, table)
    result = _as_json(name_of(path), examined, examination, nearness)
    facts = (
        f"{result['images']:,} images of {result['classes']:,} classes, looked at with "
        f"{Path(name_of(path)).name}."
    )
    report = folder / "report.html"
    write_report(examination, examined.broken, examined.root, facts, report)
    write_json(folder / "doctor.json", result)
    if settings["json"]:
        print(json.dumps(result, indent=2))
        return 0
    _show(result, display)
    display.note(f"Written: {report}; findings.csv and doctor.json beside it.")
    if examined.splits is not None:
        display.note(f"Decide what to do about each in the column verdict of {table}.")
        display.try_next(
            f"{PROGRAM} data --make_index=DATA_DIR/mended.csv "
            f"--verdicts={shlex.quote(str(table))}"
        )
    return 0


def _nearness(settings: Mapping[str, Any]) -> Nearness:
    nearness = Nearness(bits=settings["near_bits"])
    cosine = settings["near_cosine"]
    if cosine is None:
        return nearness
    if not 0 < cosine <= 1:
        raise UsageError(f"--near_cosine={cosine:g}: expected a cosine in (0, 1].")
    return dataclasses.replace(nearness, cosine=cosine, alone=cosine)


def _look(examined: Examined, display: Display) -> Pictures | None:
    """Reads the image files, unless there are none."""
    paths = examined.population.paths
    if not any(map(_is_file, paths)):
        return None
    with display.task("looking at every image", len(paths)) as update:
        return look_at(
            paths,
            max_pixels=examined.config.data.max_image_pixels,
            num_workers=examined.config.data.num_workers,
            on_progress=lambda done: update(done, ""),
        )


def _is_file(path: str) -> bool:
    return Path(path).is_file()


def _as_json(
    source: str, examined: Examined, examination: Examination, nearness: Nearness
) -> dict[str, Any]:
    found = {}
    for kind in KINDS:
        findings = examination.of_kind(kind)
        images = {row for each in findings for row in each.rows}
        found[kind] = {"findings": len(findings), "images": len(images)}
    for count in found["broken"]:
        found["broken"][count] += len(examined.broken)
    return {
        "source": source,
        "dataset": examined.config.data.dataset if examined.splits else None,
        "images": len(examination.population),
        "classes": len(examination.population.class_names),
        "near": dataclasses.asdict(nearness),
        "found": found,
        "scores": examination.leak_scores,
        "notes": list(examination.notes),
    }


def _show(result: Mapping[str, Any], display: Display) -> None:
    table = Table(title=f"{result['images']} images of {result['classes']} classes")
    table.add_column("finding")
    for heading in ("findings", "images"):
        table.add_column(heading, justify="right")
    for kind, count in result["found"].items():
        table.add_row(KINDS[kind].title, str(count["findings"]), str(count["images"]))
    print_table(table)
    if len(result["scores"]) > 1:
        print_table(_scores_table(result["scores"]))
    for note in result["notes"]:
        display.note(note)


def _scores_table(scores: Mapping[str, Any]) -> Table:
    table = Table(title="What leaks and copies do to the test")
    table.add_column("test")
    for heading in ("queries", "gallery", *_SHOWN_SCORES):
        table.add_column(heading, justify="right")
    for name, each in scores.items():
        shown = (f"{each['scores'][metric]:.4f}" for metric in _SHOWN_SCORES)
        table.add_row(name, str(each["queries"]), str(each["gallery"]), *shown)
    return table
