"""What a part found, and how it is written: as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

SIGNS = {True: "pass", False: "**fail**", None: "not run"}


@dataclasses.dataclass(frozen=True)
class Check:
    """Something that is right or wrong.

    Attributes:
        name: What is checked.
        passed: Whether it is right; None if it could not be tried.
        found: The number, or why it could not be tried.
        expected: What the number must be.
    """

    name: str
    passed: bool | None
    found: str
    expected: str = ""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A row of a table.

    Attributes:
        table: Title of the table.
        row: Name of the row.
        values: The number, or a word, of each column.
    """

    table: str
    row: str
    values: Mapping[str, float | str]


Result = Check | Figure


def to_json(part: str, result: Result) -> dict[str, Any]:
    """Returns a result as JSON stores it, readable by `from_json`."""
    kind = "check" if isinstance(result, Check) else "figure"
    return {"part": part, "kind": kind, **dataclasses.asdict(result)}


def from_json(stored: Mapping[str, Any]) -> Result:
    """Reads what `to_json` wrote."""
    values = {k: v for k, v in stored.items() if k not in ("part", "kind")}
    return Check(**values) if stored["kind"] == "check" else Figure(**values)


def to_markdown(machine: Sequence[str], results: Sequence[Result]) -> str:
    """Writes the page.

    Args:
        machine: What it was measured on, one sentence per line.
        results: Of all parts.
    """
    lines = [*machine, "", "| check | result | found | expected |", "|---|---|---|---|"]
    for check in results:
        if isinstance(check, Check):
            sign = SIGNS[check.passed]
            lines.append(
                f"| {check.name} | {sign} | {check.found} | {check.expected} |"
            )
    tables: dict[str, list[Figure]] = {}
    for figure in results:
        if isinstance(figure, Figure):
            tables.setdefault(figure.table, []).append(figure)
    for title, rows in tables.items():
        columns = list(dict.fromkeys(name for row in rows for name in row.values))
        lines += ["", f"**{title}**", "", f"| | {' | '.join(columns)} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for row in rows:
            cells = [_cell(row.values.get(name, "")) for name in columns]
            lines.append(f"| {row.row} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
