"""A run that is killed at random moments, again and again, ends with the same bits.

    python -m benchmarks.faults [--kills 20] [--signal KILL] [--seed 0]

One run goes through undisturbed; another with the same settings is killed after a
random time, started again, and so on until it ends; then the next, until there were
enough kills. Every number in the metrics, the report and the best model of each is
compared. The moments are drawn over the whole life of a process, so that they fall into
clusterings, evaluations, checkpoints and exports too.
"""

from __future__ import annotations

import argparse
import collections
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
from dce_tf.config import Config, to_flags
from dce_tf.record.run_directory import RunDirectory

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
    return [sys.executable, "-c", PROGRAM, *to_flags(config)]


def kill_and_resume(
    config: Config,
    kills: int,
    number: signal.Signals,
    rng: random.Random,
    seconds: float,
) -> collections.Counter[str]:
    """Kills a run at random moments until it ends, or has been killed often enough.

    Args:
        config: The run.
        kills: How often at most; then it is left alone.
        number: The signal.
        rng: Draws the moments.
        seconds: How long a process lives at most.

    Returns:
        How often it was killed in which stage.

    Raises:
        RuntimeError: If it fails by itself.
    """
    run, seen = RunDirectory.of(config), collections.Counter[str]()
    while seen.total() < kills and run.report() is None:
        before = _unfinished_files(run)
        process = subprocess.Popen(
            command_of(config), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            output, _ = process.communicate(timeout=rng.uniform(1, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.communicate()
            metrics = run.metrics()
            stage = f"after {metrics[-1]['stage']}" if metrics else "in the beginning"
            written = _unfinished_files(run) - before
            seen["while a file was written" if written else stage] += 1
            continue
        if process.returncode:
            raise RuntimeError(output.decode())
    done = subprocess.run(command_of(config), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return seen


def _unfinished_files(run: RunDirectory) -> set[Path]:
    return set(run.path.rglob(".tmp-*"))


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
        seen, runs = compare(Path(folder), arguments.kills, number, arguments.seed)
    table = Table(title=f"{runs} runs, killed by {number.name}: all ended alike")
    table.add_column("where")
    table.add_column("kills", justify="right")
    for where, count in [*sorted(seen.items()), ("together", seen.total())]:
        table.add_row(where, str(count))
    print_machine(table)


def compare(
    folder: Path, kills: int, number: signal.Signals, seed: int
) -> tuple[collections.Counter[str], int]:
    """Kills runs, one after the other, until it was often enough.

    Returns:
        How often in which stage, and how many runs it took.

    Raises:
        RuntimeError: If one differs from the undisturbed run, or fails.
    """
    from tests import fakes

    data = fakes.write_csv(folder / "data", num_classes=12, images_per_class=8)

    def settings(exp: str) -> Config:
        return settings_of(str(data), str(folder / "log"), exp)

    whole = settings("whole")
    started = time.monotonic()
    subprocess.run(command_of(whole), capture_output=True, check=True)
    seconds = time.monotonic() - started
    expected = result_of(RunDirectory.of(whole))
    rng, seen, runs = random.Random(seed), collections.Counter[str](), 0
    while seen.total() < kills:
        runs += 1
        killed = settings(f"killed-{runs}")
        seen += kill_and_resume(killed, kills - seen.total(), number, rng, seconds)
        found = result_of(RunDirectory.of(killed))
        if found != expected:
            raise RuntimeError(f"The runs differ: {expected} and {found}")
    return seen, runs


if __name__ == "__main__":
    main()
