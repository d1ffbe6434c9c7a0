"""Runs in processes of their own, which hear requests to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from dce_tf.config import Config, to_flags


def run_in_process(config: Config, output: Path) -> str:
    """Trains in a process of its own.

    Args:
        config: The settings.
        output: To this file goes what it prints.

    Returns:
        What went wrong; empty if nothing did.

    Raises:
        KeyboardInterrupt: If somebody asked to stop, when the process has ended.
    """
    program = "import sys; from dce_tf.cli import main; sys.exit(main(sys.argv[1:]))"
    # This very package, -P: not one in the current folder.
    code = run_child([sys.executable, "-P", "-c", program, *to_flags(config)], output)
    if not code:
        return ""
    lines = output.read_text(encoding="utf-8").splitlines()
    return f"Exit code {code}: {lines[-1] if lines else 'nothing was printed'}"


def run_child(command: Sequence[str], output: Path) -> int:
    """Runs a program, which finds this package, to its end.

    Requests to stop are for it: it may have a step to finish and a checkpoint to write.

    Args:
        command: The program and its words.
        output: What it prints is added to this file.

    Returns:
        Its exit code.

    Raises:
        KeyboardInterrupt: If somebody asked to stop, when it has ended. A second
            request kills it.
    """
    package = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    output.parent.mkdir(parents=True, exist_ok=True)
    started: list[subprocess.Popen[bytes]] = []
    with output.open("a", encoding="utf-8") as file, _passed_on(started) as asked:
        child = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path},
        )
        started.append(child)
        if asked:
            child.terminate()
        code = child.wait()
    if asked or code == 130:
        raise KeyboardInterrupt
    return code


@contextlib.contextmanager
def _passed_on(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Hands requests to stop to children; yields those that there were."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def hear(number: int, _: object) -> None:
        asked.append(number)
        for child in children:
            if len(asked) > 1:
                child.kill()
            elif number == signal.SIGTERM:
                child.terminate()
            # Ctrl-C the terminal gives to children too: twice would be once too often.

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, hear) for each in signals]
    try:
        yield asked
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
