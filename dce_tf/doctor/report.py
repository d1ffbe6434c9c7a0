"""Findings as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from dce_tf.base.files import write_text
from dce_tf.doctor.examining import Examination
from dce_tf.doctor.findings import KINDS, Finding
from dce_tf.doctor.table import shown_path
from dce_tf.index.pictures import make_thumbnail
from dce_tf.reports.html_page import colours

_MOST_FINDINGS = 40  # Of a kind; the table has all.
_MOST_PICTURES = 6  # Of the images in question of a finding.
_MOST_PATHS = 200  # A finding of more images is decided on in the table.
_MOST_CLASSES = 2000
_SIDE = 112
_QUALITY = 72
_MOST_BYTES = 8_000_000  # Of all pictures as text.


def write_report(
    examination: Examination,
    broken: Mapping[str, str],
    root: Path | None,
    facts: str,
    path: Path,
) -> None:
    """Writes a page with pictures, on which a person decides.

    Of each kind it shows the findings with the highest scores. It stays below 10 MB:
    pictures that no longer fit are left out.

    Args:
        examination: What was found.
        broken: Why other images could not be examined, by their path.
        root: Folder that paths are shown relative to; None shows them whole.
        facts: What was examined, in a sentence.
        path: The HTML file.
    """
    data = _Page(examination, root).data(broken, facts)
    # Nothing in it may end the element that it stands in.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = _asset("report.html")
    for mark, content in (
        ("/*STYLE*/", colours() + _asset("report.css")),
        ("/*SCRIPT*/", _asset("report.js")),
        ("/*DATA*/", text),
    ):
        before, _, after = page.partition(mark)
        page = before + content + after
    write_text(path, page)


def _asset(name: str) -> str:
    file = resources.files("dce_tf.doctor").joinpath("assets", name)
    return file.read_text(encoding="utf-8")


class _Page:
    """Collects what the page shows, each picture once."""

    def __init__(self, examination: Examination, root: Path | None) -> None:
        self._examination = examination
        self._root = root
        self._images: list[dict[str, str]] = []
        self._number_of: dict[int, int] = {}
        self._room = _MOST_BYTES

    def data(self, broken: Mapping[str, str], facts: str) -> dict[str, Any]:
        """Returns what the script of the page reads, as JSON values."""
        kinds, findings = [], []
        for name, kind in KINDS.items():
            own = self._examination.of_kind(name)
            shown = [self._finding(each) for each in own[:_MOST_FINDINGS]]
            count = len(own)
            if name == "broken":
                count += len(broken)
                left = list(broken.items())[: _MOST_FINDINGS - len(shown)]
                shown += [self._broken(*each) for each in left]
            findings += shown
            kinds.append(
                {
                    "name": name,
                    "title": kind.title,
                    "meaning": kind.meaning,
                    "count": count,
                }
            )
        for number, each in enumerate(findings):
            each["number"] = number
        population = self._examination.population
        # Verdicts are kept by it, and are on these findings alone.
        digest = hashlib.sha256(json.dumps([findings, self._images]).encode())
        return {
            "id": digest.hexdigest()[:16],
            "facts": facts,
            "notes": list(self._examination.notes),
            "scores": self._examination.leak_scores,
            "classes": list(population.class_names[:_MOST_CLASSES]),
            "kinds": kinds,
            "findings": findings,
            "images": self._images,
        }

    def _finding(self, finding: Finding) -> dict[str, Any]:
        population = self._examination.population
        others = dict.fromkeys(
            other
            for place in range(min(len(finding.rows), _MOST_PICTURES))
            if (other := finding.other(place)) is not None
        )
        paths = finding.rows if len(finding.rows) <= _MOST_PATHS else ()
        first = finding.other(0)
        relabel = ""
        if first is not None and population.name(first) != population.name(
            finding.rows[0]
        ):
            relabel = population.name(first)
        return {
            "kind": finding.kind,
            "text": finding.text,
            "score": round(finding.score, 4),
            "rows": [self._image(row) for row in finding.rows[:_MOST_PICTURES]],
            "others": [self._image(row) for row in others],
            "other": "" if first is None else self._path(first),
            "paths": [[self._path(row), population.name(row)] for row in paths],
            "relabel": relabel,
        }

    def _broken(self, path: str, reason: str) -> dict[str, Any]:
        shown = shown_path(path, self._root)
        self._images.append({"path": shown, "label": "", "split": "", "picture": ""})
        return {
            "kind": "broken",
            "text": reason,
            "score": 0,
            "rows": [len(self._images) - 1],
            "others": [],
            "other": "",
            "paths": [[shown, ""]],
            "relabel": "",
        }

    def _path(self, row: int) -> str:
        return shown_path(self._examination.population.paths[row], self._root)

    def _image(self, row: int) -> int:
        if row not in self._number_of:
            population = self._examination.population
            picture = _thumbnail(population.paths[row]) if self._room > 0 else ""
            self._room -= len(picture)
            self._number_of[row] = len(self._images)
            self._images.append(
                {
                    "path": self._path(row),
                    "label": population.name(row),
                    "split": population.split(row),
                    "picture": picture,
                }
            )
        return self._number_of[row]


def _thumbnail(path: str) -> str:
    """Returns a small JPEG as text; empty if the file cannot be read."""
    jpeg = make_thumbnail(Path(path), _SIDE, _QUALITY)
    return base64.b64encode(jpeg or b"").decode()
