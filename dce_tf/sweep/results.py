"""What a sweep found, as a table for people and as files."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from dce_tf.base.files import write_json, write_text
from dce_tf.sweep.variants import METRICS, Variant


def table(variants: Sequence[Variant], metric: str) -> Table:
    """Returns the variants as a table for the terminal, the best first."""
    shown = Table(title="Best epoch on the held-out classes, mean ± std of the seeds")
    for name in variants[0].settings:
        shown.add_column(name, overflow="fold")
    for heading in (*METRICS, "seeds", "seconds per run"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for variant in ranked(variants, metric):
        shown.add_row(*_cells(variant))
    return shown


def ranked(variants: Sequence[Variant], metric: str) -> list[Variant]:
    """Returns the variants, the best first and failed ones last."""
    return sorted(variants, key=lambda v: -np.nan_to_num(v.mean(metric), nan=-1.0))


def _cells(variant: Variant, sign: str = "±") -> list[str]:
    return [
        *(str(value) for value in variant.settings.values()),
        *(variant.text(metric, sign) for metric in METRICS),
        str(len(variant.seconds)),
        f"{np.mean(variant.seconds):.0f}" if variant.seconds else "",
    ]


def write(path: Path, variants: Sequence[Variant], metric: str) -> list[Path]:
    """Writes all values as JSON, and the table as CSV and LaTeX.

    Args:
        path: Of the files, without an ending.
        variants: In any order.
        metric: What ranks them.

    Returns:
        The three files.
    """
    best_first = ranked(variants, metric)
    files = [path.with_name(f"{path.name}{end}") for end in (".json", ".csv", ".tex")]
    write_json(files[0], {"runs": [dataclasses.asdict(each) for each in best_first]})
    names = list(best_first[0].settings)
    heads = [f"{m} {what}" for m in METRICS for what in ("mean", "std")]
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow([*names, *heads, "seeds", "seconds"])
    for each in best_first:
        numbers = [f(each.scores[m]) for m in METRICS for f in (_mean, _deviation)]
        values = [each.settings[name] for name in names]
        writer.writerow([*values, *numbers, len(each.seconds), _mean(each.seconds)])
    write_text(files[1], rows.getvalue())
    write_text(files[2], _latex(best_first))
    return files


def _mean(values: Sequence[float]) -> float | str:
    return float(np.mean(values)) if values else ""


def _deviation(values: Sequence[float]) -> float | str:
    return float(np.std(values, ddof=1)) if len(values) > 1 else ""


def _latex(variants: Sequence[Variant]) -> str:
    names = [*variants[0].settings, *METRICS, "seeds", "seconds"]
    lines = [
        rf"\begin{{tabular}}{{{'l' * len(variants[0].settings)}rrrr}}",
        r"\hline",
        " & ".join(_escaped(name) for name in names) + r" \\ \hline",
    ]
    for variant in variants:
        cells = (_escaped(cell) for cell in _cells(variant, sign="\0"))
        lines.append(" & ".join(cells).replace("\0", r"$\pm$") + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)
