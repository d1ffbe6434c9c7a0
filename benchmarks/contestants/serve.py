"""The process of one contestant: builds it, then times blocks of steps on command.

    python -m benchmarks.contestants.serve keras|torch '{"name": …, …}'

Each line read is a number of steps; each line written a JSON object.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import time
from typing import Any

from benchmarks.contestants.setup import Run, Setup

MISSING = "PyTorch is not installed: pip install -r requirements-benchmarks.txt"


def build(side: str, facts: dict[str, Any]) -> Run:
    """Builds a contestant and runs it until it is warm."""
    name = facts.pop("name")
    setup = Setup(**facts)
    module = importlib.import_module(f"benchmarks.contestants.{side}_side")
    run: Run = (
        module.multiply(setup.image_size)
        if name == "multiply"
        else module.CONTESTANTS[name](setup)
    )
    run(2)
    return run


def main() -> None:
    """Serves."""
    side, facts = sys.argv[1:]
    # What libraries print must not be taken for an answer.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers)

    with answers, contextlib.redirect_stdout(sys.stderr):
        if side == "torch" and importlib.util.find_spec("torch") is None:
            answer(missing=MISSING)
            return
        run = build(side, json.loads(facts))
        answer(ready=True)
        for line in sys.stdin:
            started = time.perf_counter()
            run(int(line))
            answer(seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
