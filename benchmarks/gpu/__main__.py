"""Checks and figures on a machine with GPUs, for docs/gpu.md.

    python -m benchmarks.gpu [--only PART …] [--cpu] [--minutes 10] [--output gpu.md]

Each part is a process of its own, so that one that fails does not stop the others. With
`--cpu` all parts run small and without a GPU. It needs nothing but the checkout and
`pip install -r requirements.txt`; PyTorch is compared with where it is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu import machine
from benchmarks.gpu.checks import CHECKS
from benchmarks.gpu.figures import FIGURES
from benchmarks.gpu.results import Check, Result, from_json, to_json, to_markdown

PARTS = {**CHECKS, **FIGURES}


def run_part(name: str, cpu: bool, file: Path) -> None:
    """Runs one part in this process, adding each result to a file as it comes."""
    with file.open("a", encoding="utf-8") as lines:
        for result in PARTS[name](cpu):
            print(json.dumps(to_json(name, result)), file=lines, flush=True)


def run_apart(name: str, cpu: bool, seconds: float) -> list[Result]:
    """Runs one part in a process of its own.

    Args:
        name: Of the part.
        cpu: Whether to do without a GPU.
        seconds: How long it may take.

    Returns:
        What it found; the last one is a failed check if it did not come to its end.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if cpu:
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.jsonl"
        command = [sys.executable, "-m", "benchmarks.gpu", f"--part={name}"]
        command += [f"--results={file}", *(["--cpu"] if cpu else [])]
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=seconds,
                check=False,
            )
            lines = done.stderr.strip().splitlines() or ["nothing was printed"]
            reason = f"exit code {done.returncode}: {lines[-1][:300]}"
            ended = done.returncode == 0
        except subprocess.TimeoutExpired:
            reason, ended = f"stopped after {seconds:.0f} s", False
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
    results = [from_json(json.loads(line)) for line in text.splitlines()]
    if not ended:
        results.append(Check(f"the part {name} comes to its end", False, reason))
    return results


def run_parts(names: Sequence[str], cpu: bool, minutes: float) -> list[Result]:
    """Runs parts one after the other, as many as there is time for."""
    end = time.monotonic() + 60 * minutes
    results: list[Result] = []
    for name in names:
        left = end - time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        if left < 1:
            reason = f"the {minutes:g} minutes were over; --only={name} runs it alone"
            results.append(Check(name, None, reason))
            continue
        results += run_apart(name, cpu, left)
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the parts and prints the page; 1 if a check failed, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--cpu", action="store_true", help="Small, without a GPU.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--output", type=Path, help="The page, as Markdown.")
    parser.add_argument("--json", type=Path, help="The same as JSON.")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.part:
        run_part(args.part, args.cpu, args.results)
        return 0
    cards = [] if args.cpu else machine.find_cards()
    if not args.cpu:
        import tensorflow as tf

        seen = len(tf.config.list_physical_devices("GPU"))
        for problem in machine.problems(cards, seen, machine.installed_faiss()):
            print(problem, file=sys.stderr)
        if not cards or not seen:
            return 2
    results = run_parts(args.only, args.cpu, args.minutes)
    described = [*machine.describe(cards), time.strftime("Measured on %F.")]
    page = to_markdown(described, results)
    print(page, end="")
    if args.output:
        args.output.write_text(page, encoding="utf-8")
    if args.json:
        stored = [to_json("", result) for result in results]
        facts = {"machine": described, "results": stored}
        args.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    failed = any(isinstance(r, Check) and r.passed is False for r in results)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
