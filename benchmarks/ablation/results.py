"""The runs that are done, what they differ by, and the tables of docs/ablation.md."""

from __future__ import annotations

import csv
import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from scipy import stats

from benchmarks.ablation.ideas import (
    BASELINE,
    LOSSES,
    NETWORKS,
    REGULARISED,
    SETS,
)

ALL_IDEAS = NETWORKS["frozen"] | NETWORKS["whole"]
DOCS = Path(__file__).parents[2] / "docs"
RESULTS = {
    "frozen": DOCS / "ablation.csv",
    "whole": DOCS / "ablation-whole.csv",
}  # By what trains: the embedding alone, or the whole network.
PAGE = DOCS / "ablation.md"
MARKS = ("<!-- {} tables -->", "<!-- end of {} tables -->")
KEY = ("set", "loss", "idea", "epochs", "seed")
COLUMNS = (
    *KEY,
    "best_epoch",
    "val_best",
    "best_recall@1",
    "best_map@r",
    "last_recall@1",
    "last_map@r",
    "seconds",
)

Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """Returns the runs that are done."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add_row(row: Row, path: Path) -> None:
    """Stores a run that is done; several processes may."""
    is_new = not path.is_file()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def summary(scores: Mapping[int, Mapping[str, Mapping[str, float]]]) -> Row:
    """Returns the columns of a run's scores: best on held-out classes, and last."""
    best = max(scores, key=lambda epoch: scores[epoch]["val"]["map@r"])
    last = scores[max(scores)]["test"]
    values = {
        "best_epoch": str(best),
        "val_best": f"{scores[best]['val']['map@r']:.4f}",
    }
    for name in ("recall@1", "map@r"):
        values[f"best_{name}"] = f"{scores[best]['test'][name]:.4f}"
        values[f"last_{name}"] = f"{last[name]:.4f}"
    return values


def paired(rows: Sequence[Row], others: Sequence[Row], column: str) -> list[float]:
    """Returns the differences `rows` − `others` of the seeds that both have."""
    theirs = {row["seed"]: float(row[column]) for row in others}
    return [
        float(row[column]) - theirs[row["seed"]]
        for row in rows
        if row["seed"] in theirs
    ]


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Returns mean and ends of the 95 % interval, by Student's t over the seeds."""
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return mean, float("-inf"), float("inf")
    error = statistics.stdev(differences) / len(differences) ** 0.5
    reach = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    return mean, mean - reach, mean + reach


def tables(rows: Sequence[Row]) -> str:
    """Returns the tables of docs/ablation.md, one for each set, loss and length."""
    lines: list[str] = []
    lengths = sorted({int(row["epochs"]) for row in rows}, reverse=True)
    for data, epochs, loss in itertools.product(SETS, lengths, LOSSES):
        own = [
            row
            for row in rows
            if (row["set"], row["loss"], int(row["epochs"])) == (data, loss, epochs)
        ]
        if own:
            lines += [f"### {data}, `{loss}`, {epochs} epochs", "", *_table(own), ""]
            if beside := list(_beside_dropout(own)):
                lines += [*beside, ""]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> Iterable[str]:
    yield (
        "| idea | held-out MAP@R | recall@1 | MAP@R | gain over K = 1 | 95 % | last "
        "epoch's MAP@R | gain | seeds | s |"
    )
    yield "| --- " * 10 + "|"
    baseline = [row for row in rows if row["idea"] == BASELINE]
    for idea in ALL_IDEAS:
        own = [row for row in rows if row["idea"] == idea]
        if own:
            cells = [idea, _mean(own, "val_best"), _mean(own, "best_recall@1")]
            cells += [_mean(own, "best_map@r"), *_gain(own, baseline, "best_map@r")]
            cells += [_mean(own, "last_map@r"), _gain(own, baseline, "last_map@r")[0]]
            seconds = statistics.median(float(row["seconds"]) for row in own)
            yield f"| {' | '.join(cells)} | {len(own)} | {seconds:.0f} |"


def _beside_dropout(rows: Sequence[Row]) -> Iterable[str]:
    """Yields a table of ideas with dropout against dropout alone, if there are any."""
    alone = [row for row in rows if row["idea"] == REGULARISED]
    ideas = [
        idea
        for idea, settings in ALL_IDEAS.items()
        if settings.get("dropout") == ALL_IDEAS[REGULARISED]["dropout"]
        and idea != REGULARISED
    ]
    lines = []
    for idea in ideas:
        own = [row for row in rows if row["idea"] == idea]
        if differences := paired(own, alone, "val_best"):
            cells = [idea, *_gain(own, alone, "val_best")]
            cells += [
                *_gain(own, alone, "best_map@r"),
                *_gain(own, alone, "last_map@r"),
            ]
            lines.append(f"| {' | '.join(cells)} | {len(differences)} |")
    if lines:
        yield (
            f"| over {REGULARISED} | held-out MAP@R | 95 % | MAP@R | 95 % | last "
            "epoch's MAP@R | 95 % | seeds |"
        )
        yield "| --- " * 8 + "|"
        yield from lines


def _gain(rows: Sequence[Row], others: Sequence[Row], column: str) -> list[str]:
    differences = paired(rows, others, column)
    if not differences or rows[0]["idea"] == BASELINE:
        return ["–", "–"]
    mean, low, high = interval(differences)
    if len(differences) < 2:
        return [f"{mean:+.4f}", "–"]
    return [f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}"]


def _mean(rows: Sequence[Row], name: str) -> str:
    return f"{statistics.mean(float(row[name]) for row in rows):.4f}"


def write_page(rows: Sequence[Row], network: str, page: Path = PAGE) -> None:
    """Puts the tables of a network between its marks of the page."""
    begin, end = (mark.format(network) for mark in MARKS)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    text = f"{before}{begin}\n\n{tables(rows)}\n{end}{after}"
    page.write_text(text, encoding="utf-8")
