"""A run that is killed at random moments, again and again, ends with the same bits.

    python -m benchmarks.faults [--kills 20] [--signal KILL] [--seed 0]

One run goes through undisturbed; a second one with the same settings is killed after a
random time, started again, and so on, then left alone. Every number in its metrics, its
report and its best model is compared. The moments are drawn over the whole life of a
process, so that they fall into clusterings, evaluations, checkpoints and exports too.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.timing import print_machine
from dce_tf.config import Config
from dce_tf.run_directory import RunDirectory

PROGRAM = "import sys; from dce_tf.cli import main; sys.exit(main(sys.argv[1:]))"


def settings_of(data_dir: str, log_dir: str, exp: str) -> Config:
    """Returns a small run of every stage, with a checkpoint every few steps."""
    return Config(
        dataset="csv",
        data_dir=data_dir,
        log_dir=log_dir,
        exp=exp,
        deterministic=True,
        backbone="small",
        image_size=32,
        embedding_dim=16,
        num_clusters=2,
        num_epochs=6,
        full_embedding_epoch=4,
        finetune_epoch=5,
        batch_size=16,
        backbone_lr=1e-3,
        embedding_lr=1e-3,
        val_fraction=0.3,
        loss="multi_similarity",
        ema=0.9,
        checkpoint_every_steps=2,
    )


def command_of(config: Config) -> list[str]:
    """Returns what starts a run, or goes on with it."""
    words = [
        f"--{field.name}={getattr(config, field.name)}"
        for field in dataclasses.fields(config)
        if getattr(config, field.name) is not None
    ]
    return [sys.executable, "-c", PROGRAM, *words]


def kill_and_resume(
    config: Config, kills: int, number: signal.Signals, rng: random.Random
) -> collections.Counter[str]:
    """Kills a run at random moments, then lets it end.

    Returns:
        How often it was killed before the last metrics were of which stage.

    Raises:
        RuntimeError: If it fails by itself.
    """
    run, seen = RunDirectory.of(config), collections.Counter[str]()
    longest = 30.0
    while sum(seen.values()) < kills and run.report() is None:
        started = time.monotonic()
        process = subprocess.Popen(
            command_of(config), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            output, _ = process.communicate(timeout=rng.uniform(1, longest))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.communicate()
            metrics = run.metrics()
            seen[metrics[-1]["stage"] if metrics else "before training"] += 1
            continue
        if process.returncode:
            raise RuntimeError(output.decode())
        longest = max(2.0, time.monotonic() - started)
    done = subprocess.run(command_of(config), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return seen


def result_of(run: RunDirectory) -> dict[str, Any]:
    """Returns every number that must not depend on how often a run was killed."""
    report = run.report() or {}
    with zipfile.ZipFile(run.checkpoints / "best.keras") as model:
        weights = model.getinfo("model.weights.h5").CRC
    metrics = [
        {key: value for key, value in line.items() if "second" not in key}
        for line in run.metrics()
    ]
    return {
        "metrics": json.dumps(metrics),
        "report": json.dumps([report[key] for key in ("before", "after", "tests")]),
        "best epoch": report["best_epoch"],
        "best weights": weights,
    }


def main() -> None:
    """Prints what was compared, and whether it is equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--signal", default="KILL", help="KILL, TERM or INT.")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    number = signal.Signals[f"SIG{arguments.signal}"]
    with tempfile.TemporaryDirectory() as folder:
        table = compare(Path(folder), arguments.kills, number, arguments.seed)
    print_machine(table)


def compare(folder: Path, kills: int, number: signal.Signals, seed: int) -> Table:
    """Runs both and compares them.

    Raises:
        RuntimeError: If they differ, or a run fails.
    """
    from tests import fakes

    data = fakes.write_csv(folder / "data", num_classes=12, images_per_class=8)
    whole, killed = (
        settings_of(str(data), str(folder / "log"), exp) for exp in ("whole", "killed")
    )
    subprocess.run(command_of(whole), capture_output=True, check=True)
    seen = kill_and_resume(killed, kills, number, random.Random(seed))
    expected, found = (result_of(RunDirectory.of(each)) for each in (whole, killed))
    table = Table(title=f"{number.name}, {sum(seen.values())} times: {dict(seen)}")
    table.add_column("compared")
    table.add_column("equal")
    for key, value in expected.items():
        table.add_row(key, "yes" if found[key] == value else "NO")
    if found != expected:
        raise RuntimeError(f"The runs differ: {expected} and {found}")
    return table


if __name__ == "__main__":
    main()
