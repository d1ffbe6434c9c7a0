"""Whole epochs with re-clustering and evaluation, against the 2019 reference program.

    python -m benchmarks.epoch --data_dir=GROCERY --weights=efficientnet_lite0.keras
        [--rows network input lists] [--repeats 1]

The reference program is `benchmarks/reference`, a stand-in for it. Both start from the
same backbone, divide before every epoch but the last, which finetunes, and evaluate
after each; the reference takes as many batches in each epoch as ours did. Rows:

- `network`: EfficientNet-Lite0 at 128 px on the grocery photographs, K = 4;
- `input`: `small` at 64 px on photographs of a megapixel, K = 4;
- `lists`: `small` at 32 px on a list as long as that of SOP, K = 8, of few files.

An image in `lists` has a made-up label, so that its recall is that of chance.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import photographs
from benchmarks.contestants.serve import MISSING
from benchmarks.timing import print_machine

WARM_UP = 1  # Epochs that are not among the later ones: they trace and fill caches.


@dataclasses.dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        text: What it is.
        backbone: Of the reference program.
        image_size: Side of the network's input in pixels.
        num_clusters: K.
        rate: Learning rate of backbone and embedding.
        num_epochs: How many; the last one finetunes.
    """

    text: str
    backbone: str
    image_size: int
    num_clusters: int
    rate: float
    num_epochs: int = 3


CASES = {
    "network": Case("EfficientNet-Lite0, 128 px", "efficientnet_lite0", 128, 4, 1e-4),
    "input": Case("small, 64 px, megapixel JPEGs", "small", 64, 4, 1e-3),
    "lists": Case("small, 32 px, SOP-sized lists", "small", 32, 8, 1e-3),
}


def settings(case: Case, data_dir: Path) -> dict[str, Any]:
    """Returns what both programs are told, by the names they share."""
    last = case.num_epochs - 1
    return {
        "data_dir": str(data_dir),
        "image_size": case.image_size,
        "embedding_dim": 128,
        "num_clusters": case.num_clusters,
        "num_epochs": case.num_epochs,
        "full_embedding_epoch": last,
        "finetune_epoch": last,
        "recluster_every": 1,
        "batch_size": 80,
        "samples_per_class": 4,
        "backbone_lr": case.rate,
        "embedding_lr": case.rate,
    }


def our_settings(
    shared: Mapping[str, Any], backbone: Path, folder: Path, **more: Any
) -> dict[str, Any]:
    """Returns what `Config` is told besides, to do the same work."""
    return {
        **shared,
        "dataset": "csv",
        "backbone": str(backbone),
        "val_fraction": 0.0,
        "select_on": "test",
        "nmi_runs": 0,
        "export": False,
        "log_dir": str(folder / "log"),
        "cache_dir": str(folder / "cache"),
        "overwrite": True,
        **more,
    }


def run_ours(*what: Any, **more: Any) -> dict[str, Any]:
    """Trains with `dce_tf`; see `our_settings`.

    Returns:
        What `our_run` prints, and `whole`, in seconds.
    """
    return _run("benchmarks.our_run", json.dumps(our_settings(*what, **more)))


def run_reference(
    shared: Mapping[str, Any],
    case: Case,
    weights: Path,
    steps: list[int],
    num_workers: int,
) -> dict[str, Any]:
    """Trains with the reference program; returns what it prints, and `whole`."""
    flags = [f"--{name}={value}" for name, value in shared.items()]
    flags += [
        f"--backbone={case.backbone}",
        f"--weights={weights}",
        f"--num_workers={num_workers}",
        f"--steps={json.dumps(steps)}",
    ]
    return _run("benchmarks.reference", *flags)


def _run(module: str, *arguments: str) -> dict[str, Any]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-3000:]}")
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**facts, "whole": time.perf_counter() - started}


def prepare(row: str, args: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Writes the data and the backbone of a row; returns where they are."""
    data_dir = Path(args.data_dir)
    if row == "network":
        return data_dir, Path(args.weights)
    if row == "input":
        data_dir = photographs.write_enlarged(data_dir, folder, args.side, args.images)
    else:
        data_dir = photographs.write_long_list(
            data_dir, folder, args.listed, max(2, args.listed * 11_318 // 59_551)
        )
    backbone = folder / "small.keras"
    code = (
        "import sys; from dce_tf.network.backbones import build_backbone; "
        "build_backbone('small').save(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, str(backbone)]
    subprocess.run(command, check=True, capture_output=True)
    return data_dir, backbone


def measure(row: str, args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Runs all programs of a row in turn; returns what each says of each run."""
    case = CASES[row]
    case = dataclasses.replace(case, num_epochs=args.epochs or case.num_epochs)
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_dir, backbone = prepare(row, args, folder)
        weights = folder / "weights.npz"
        shared = settings(case, data_dir)
        module = "benchmarks.reference.weights"
        command = [sys.executable, "-m", module, str(backbone), str(weights)]
        subprocess.run(command, check=True, capture_output=True)
        for seed in range(args.repeats):
            ours = run_ours(shared, backbone, folder, random_seed=seed, exp=seed)
            runs.setdefault("ours", []).append(ours)
            cache = folder / f"cache-{seed}"
            cached = run_ours(
                shared,
                backbone,
                folder,
                random_seed=seed,
                exp=seed,
                cache_images=True,
                cache_dir=str(cache),
            )
            runs.setdefault("ours, --cache_images", []).append(cached)
            if not args.only_ours:
                theirs = run_reference(
                    {**shared, "seed": seed},
                    case,
                    weights,
                    ours["steps"],
                    args.num_workers,
                )
                runs.setdefault("reference", []).append(theirs)
    return runs


def make_table(title: str, runs: Mapping[str, list[dict[str, Any]]]) -> Table:
    """Draws the table of a row.

    Args:
        title: What was trained.
        runs: By program; `"ours"` among them.
    """
    table = Table(title=title)
    table.add_column("")
    columns = ("epochs s", "later epoch s", "whole run s", "recall@1", "before")
    for column in columns:
        table.add_column(column, justify="right")
    table.add_column("ours is … times as fast", justify="right")
    first = runs["ours"]
    for name, own in runs.items():
        figures = [[f(run) for run in own] for f in (_epochs, _later, _whole)]
        cells = [f"{statistics.median(values):.1f}" for values in figures]
        scores = [[run["recall@1"][place] for run in own] for place in (-1, 0)]
        cells += [f"{statistics.mean(values):.3f}" for values in scores]
        ratios = [
            statistics.median(f(a) / f(b) for a, b in zip(own, first, strict=True))
            for f in (_epochs, _later, _whole)
        ]
        table.add_row(name, *cells, " / ".join(f"{ratio:.2f}" for ratio in ratios))
    table.caption = (
        "All epochs; a later epoch with division and evaluation; the process from "
        "start to end, with the untrained evaluation and, of ours, report and plots."
    )
    return table


def _epochs(run: Mapping[str, Any]) -> float:
    return float(sum(run["seconds"]))


def _later(run: Mapping[str, Any]) -> float:
    divided = run["seconds"][:-1]
    return float(statistics.mean(divided[WARM_UP:] or divided))


def _whole(run: Mapping[str, Any]) -> float:
    return float(run["whole"])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", required=True, help="The grocery photographs.")
    parser.add_argument("--weights", required=True, help="efficientnet_lite0.keras")
    parser.add_argument("--rows", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--epochs", type=int, help="The last one finetunes.")
    parser.add_argument("--images", type=int, default=600, help="Of a megapixel.")
    parser.add_argument("--side", type=int, default=1000, help="Of these, in pixels.")
    parser.add_argument("--listed", type=int, default=59_551, help="In the list.")
    parser.add_argument(
        "--num_workers", type=int, default=1, help="Of each loader of the reference."
    )
    parser.add_argument("--only_ours", action="store_true")
    args = parser.parse_args()
    from importlib.util import find_spec

    if not args.only_ours and find_spec("torch") is None:
        print(f"The reference program is left out: {MISSING}")
        args.only_ours = True
    for row in args.rows:
        runs = measure(row, args)
        print_machine(make_table(f"{row}: {CASES[row].text}", runs))
        for name, own in runs.items():
            for run in own:
                facts = {key: run.get(key) for key in ("steps", "trained", "embedded")}
                print(name, facts, run.get("parts", ""))


if __name__ == "__main__":
    main()
