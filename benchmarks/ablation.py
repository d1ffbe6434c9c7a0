"""Does dividing help? Runs what docs/ablation.csv lacks, and draws its tables.

    python -m benchmarks.ablation --data_dir=GROCERY --backbone=efficientnet_lite0.keras
    python -m benchmarks.ablation --tables

Each run adds its line to the CSV when it ends, so that this can be stopped at any time.
`--part=0/2` and `--part=1/2` side by side, on a core each, share the work.
Nothing is selected: the score is that of the test split after the last epoch.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dce_tf.config import Config
from dce_tf.run_directory import RunDirectory
from dce_tf.runs.processes import run_in_process

RESULTS = Path(__file__).parents[1] / "docs" / "ablation.csv"
PAGE = RESULTS.with_suffix(".md")
BEGIN, END = "<!-- tables -->", "<!-- end -->"
COLUMNS = ("data", "loss", "parts", "clusters", "seed", "recall@1", "map@r", "seconds")
LOSSES = ("margin", "multi_similarity", "proxy_anchor")
PARTS: dict[str, dict[str, Any]] = {
    "slices": {},
    "masks": {"parts": "masks"},
    "isolated": {"isolated_learners": True},
    "best": {
        "isolated_learners": True,
        "augmentation": "paper(crop_area=0.25)",
        "embedding_lr": 1e-3,
    },
}
LONG: dict[str, Any] = {
    "num_epochs": 16,
    "full_embedding_epoch": 8,
    "finetune_epoch": 12,
    "evaluate_every": 16,
}
# When does it turn? Changes to the grid's runs on the photographs with the first loss.
STUDY: dict[str, dict[str, Any]] = {
    "negatives by distance": {"loss": "margin(miner=distance_weighted)"},
    "1 of 4 epochs divides": {"full_embedding_epoch": 1},
    "3 of 4 epochs divide": {"full_embedding_epoch": 3},
    "embedding's rate × 4": {"embedding_lr": 4e-4},
}
# And with these losses, four times as long.
LONG_PARTS: dict[str, dict[str, Any]] = {
    "slices, 16 epochs": LONG,
    "masks, 16 epochs": {"parts": "masks", **LONG},
    # With one clustering there is nothing to match.
    "slices, 16 epochs, clustered once": {"recluster_every": 16, **LONG},
}
LONG_LOSSES = ("margin", "multi_similarity")
BASE = {
    "grocery": Config(
        dataset="csv",
        image_size=128,
        embedding_dim=128,
        num_epochs=4,
        full_embedding_epoch=2,
        finetune_epoch=3,
        backbone_lr=1e-4,
        embedding_lr=1e-4,
        val_fraction=0.0,
        select_on="test",
        evaluate_every=4,
        nmi_runs=0,
        export=False,
    ),
    "glyphs": Config(
        dataset="glyphs",
        image_size=48,
        augmentation="none",
        backbone="small",
        embedding_dim=64,
        num_epochs=8,
        full_embedding_epoch=4,
        finetune_epoch=6,
        backbone_lr=1e-3,
        backbone_wd=0.0,
        embedding_lr=1e-3,
        embedding_wd=0.0,
        loss_lr=1e-3,
        val_fraction=0.0,
        select_on="test",
        evaluate_every=8,
        nmi_runs=0,
        export=False,
    ),
}

Row = dict[str, str]


def wanted() -> Iterator[tuple[str, str, str, int, int]]:
    """Yields data, loss, parts, clusters and seed, the most telling first."""
    yield from _grid((1, 4), seeds=(0, 1))
    yield from _study(seed=0)
    yield from _long(seed=0)
    yield from _grid((1, 4), seeds=(2,))
    for seed, clusters in itertools.product(range(3), (1, 4)):
        yield "grocery", "multi_similarity", "best", clusters, seed
    for seed in (1, 2):
        yield from _study(seed)
    yield from _grid((2, 8), seeds=range(3))
    for seed in (1, 2):
        yield from _long(seed)


def _grid(
    clusters: Iterable[int], seeds: Iterable[int]
) -> Iterator[tuple[str, str, str, int, int]]:
    for seed, data, k in itertools.product(seeds, BASE, clusters):
        for parts, loss in itertools.product(("slices", "masks", "isolated"), LOSSES):
            if k > 1 or parts == "slices":
                yield data, loss, parts, k, seed


def _study(seed: int) -> Iterator[tuple[str, str, str, int, int]]:
    for parts, changes in STUDY.items():
        for clusters in (4,) if "full_embedding_epoch" in changes else (1, 4):
            yield "grocery", LOSSES[0], parts, clusters, seed


def _long(seed: int) -> Iterator[tuple[str, str, str, int, int]]:
    for loss, parts in itertools.product(LONG_LOSSES, LONG_PARTS):
        for clusters in (1, 4) if parts == "slices, 16 epochs" else (4,):
            yield "grocery", loss, parts, clusters, seed


def read_rows() -> list[Row]:
    """Returns the runs that are done."""
    if not RESULTS.is_file():
        return []
    with RESULTS.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add_row(row: Row) -> None:
    """Stores a run that is done; several processes may."""
    is_new = not RESULTS.is_file()
    with RESULTS.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def config_of(
    data: str, loss: str, parts: str, clusters: int, seed: int, **where: Any
) -> Config:
    """Returns the settings of a run."""
    changes = {**PARTS, **STUDY, **LONG_PARTS}[parts]
    settings = {**vars(BASE[data]), "loss": loss, **changes, **where}
    if parts == "best" and clusters == 1:
        settings["embedding_lr"] = 1e-4
    # From random weights no pair is farther apart than the cutoff of `nearest`.
    if (data, loss) == ("glyphs", "margin"):
        settings["loss"] = "margin(miner=distance_weighted)"
    settings |= {"num_clusters": clusters, "random_seed": seed}
    return Config(**settings)


def run(key: tuple[str, str, str, int, int], **where: Any) -> Row:
    """Trains; returns the line of the table.

    Raises:
        RuntimeError: If the run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(*key, log_dir=folder, **where)
        reason = run_in_process(config, Path(folder) / "output.txt")
        if reason:
            raise RuntimeError(f"{key}: {reason}")
        directory = RunDirectory.of(config)
        report, metrics = directory.report() or {}, directory.metrics()
    scores = [f"{report['after'][name]:.4f}" for name in ("recall@1", "map@r")]
    parts = ("seconds_data", "seconds_step")
    seconds = sum(line.get(part, 0.0) for line in metrics for part in parts)
    values = [*(str(part) for part in key), *scores, f"{seconds:.0f}"]
    return dict(zip(COLUMNS, values, strict=True))


def tables(rows: Sequence[Row]) -> str:
    """Returns the tables of docs/ablation.md."""
    lines = []
    for data in sorted({row["data"] for row in rows}, reverse=True):
        lines += [
            f"### {data}",
            "",
            "| loss | parts | K | recall@1 | MAP@R | seeds | seconds |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for loss, parts, clusters in itertools.product(LOSSES, PARTS, (1, 2, 4, 8)):
            if own := _of(rows, data, loss, parts, clusters):
                named = "–" if clusters == 1 and parts == "slices" else parts
                seconds = statistics.mean(float(row["seconds"]) for row in own)
                cells = [f"`{loss}`", named, str(clusters), *_scores(own)]
                lines.append(f"| {' | '.join(cells)} | {len(own)} | {seconds:.0f} |")
        lines.append("")
    lines += [
        "### When it turns",
        "",
        "| loss | change | K | recall@1 | MAP@R | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for loss, parts, clusters in itertools.product(
        LONG_LOSSES, ("slices", "masks", *STUDY, *LONG_PARTS), (1, 4)
    ):
        if own := _of(rows, "grocery", loss, parts, clusters):
            named = parts.replace("slices", "–") if clusters == 1 else parts
            cells = [f"`{loss}`", named, str(clusters), *_scores(own), str(len(own))]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _of(
    rows: Sequence[Row], data: str, loss: str, parts: str, clusters: int
) -> list[Row]:
    key = (data, loss, parts, str(clusters))
    return [row for row in rows if tuple(row[name] for name in COLUMNS[:4]) == key]


def _scores(rows: Sequence[Row]) -> list[str]:
    return [_mean(rows, name) for name in ("recall@1", "map@r")]


def write_page(rows: Sequence[Row]) -> None:
    """Puts the tables between the marks of docs/ablation.md."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = f"{before}{BEGIN}\n\n{tables(rows)}\n{END}{after}"
    PAGE.write_text(text, encoding="utf-8")


def _mean(rows: Sequence[Row], name: str) -> str:
    values = [float(row[name]) for row in rows]
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def main() -> None:
    """Runs what is missing, or prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", help="The grocery photographs.")
    parser.add_argument("--backbone", help="For them.")
    parser.add_argument("--part", default="0/1", help="Which part of how many to run.")
    parser.add_argument("--tables", action="store_true", help="Only print the tables.")
    arguments = parser.parse_args()
    index, count = map(int, arguments.part.split("/"))
    keys = [] if arguments.tables else list(wanted())[index::count]
    for key in keys:
        done = {tuple(row[name] for name in COLUMNS[:5]) for row in read_rows()}
        if tuple(str(part) for part in key) in done:
            continue
        given = {"data_dir": arguments.data_dir, "backbone": arguments.backbone}
        row = run(key, **(given if key[0] == "grocery" else {}))
        add_row(row)
        print(", ".join(row.values()), flush=True)
    rows = read_rows()
    write_page(rows)
    print(tables(rows))


if __name__ == "__main__":
    main()
