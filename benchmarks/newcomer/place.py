"""A place where nothing was done yet: a copy of the checkout, commands by the clock."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from benchmarks.newcomer.clock import CLOCK
from benchmarks.newcomer.pages import ROOT

_ACTIVATE = "if [ -d .venv ]; then . .venv/bin/activate; fi"
_END_SECONDS = 45.0  # A server has requests to answer.


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that a person waited for.

    Attributes:
        trial: Of which trial.
        what: What it did.
        line: The command line, empty if it was part of the one before.
        seconds: How long it took.
        installs: Whether that depends on the network.
    """

    trial: str
    what: str
    line: str
    seconds: float
    installs: bool = False


class Running:
    """A command that has not ended, and what it has printed.

    Args:
        process: Its process, the first of a group.
        log: What is printed goes here, too.
    """

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.started = CLOCK.now()
        self.lines: list[tuple[float, str]] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._log = log
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        printed = self.process.stdout or io.StringIO()
        with self._log.open("a", encoding="utf-8") as log, printed:
            for line in printed:
                self.lines.append((self.seconds, line.rstrip("\n")))
                self._fresh.put(line)
                print(line, end="", file=log, flush=True)
        self._fresh.put(None)

    def __enter__(self) -> Running:
        """Begins a block, at whose end it ends, too."""
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return CLOCK.now() - self.started

    @property
    def text(self) -> str:
        """All that was printed."""
        return "\n".join(line for _, line in self.lines)

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """Waits until a line is printed in which a pattern is found.

        Raises:
            ValueError: If the command ends first, or it takes too long.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._fresh.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise ValueError(
                    f"{pattern!r} was not printed in {seconds:g} s. {self._last()}"
                )
            if found := re.search(pattern, line):
                return found

    def wait(self) -> int:
        """Waits for its end; returns the exit code."""
        code = self.process.wait()
        self._reader.join()
        return code

    def stop(self) -> int:
        """Ends it as Ctrl-C does, by force if it does not hear; returns its code."""
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, each)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_SECONDS)
                break
        return self.wait()

    def check(self) -> None:
        """Waits for its end.

        Raises:
            ValueError: If it failed.
        """
        if code := self.wait():
            raise ValueError(f"Exit code {code}. {self._last()}")

    def _last(self) -> str:
        words = "\n".join(line for _, line in self.lines[-5:])
        return f"The last lines, of {self._log}:\n{words}"


class Place:
    """Where a trial happens.

    Args:
        folder: Where; it must not be there.
        trial: What is tried.
        with_checkout: Whether a copy of this checkout lies there.
    """

    def __init__(self, folder: Path, trial: str, *, with_checkout: bool = True) -> None:
        self.folder = folder
        self.trial = trial
        self.steps: list[Step] = []
        self.log = folder.with_name(f"{folder.name}.log")
        folder.mkdir(parents=True)
        if with_checkout:
            copy_checkout(folder)

    def note(
        self, what: str, line: str, seconds: float, *, installs: bool = False
    ) -> None:
        """Notes a step, and says so."""
        self.steps.append(Step(self.trial, what, line, seconds, installs))
        print(f"{self.trial}: {what}: {seconds:.0f} s", file=sys.stderr, flush=True)

    def run(self, what: str, line: str, *, installs: bool = False) -> Running:
        """Runs a command line to its end, as a person types it, and notes the step.

        Raises:
            ValueError: If it fails.
        """
        running = self.start(line)
        running.check()
        self.note(what, line, running.seconds, installs=installs)
        return running

    def start(self, line: str) -> Running:
        """Starts a command line in the environment of the place, if there is one."""
        print(f"{self.trial}: $ {line}", file=sys.stderr, flush=True)
        with self.log.open("a", encoding="utf-8") as log:
            print(f"\n$ {line}", file=log)
        process = subprocess.Popen(
            ["bash", "-c", f"{_ACTIVATE}\n{line}"],
            cwd=self.folder,
            env=plain_environment(self.folder.with_name(f"{self.folder.name}-home")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return Running(process, self.log)


def plain_environment(home: Path) -> dict[str, str]:
    """Returns this environment without the one that this program runs in.

    Args:
        home: An own one, in which nothing was kept.
    """
    home.mkdir(exist_ok=True)
    own = Path(sys.prefix) / "bin"
    paths = os.environ.get("PATH", os.defpath).split(os.pathsep)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
        and not name.startswith("DCE_TF_")
    }
    return {
        **kept,
        "HOME": str(home),
        "PATH": os.pathsep.join(each for each in paths if Path(each) != own),
        "PYTHONUNBUFFERED": "1",  # Or lines would have the time of later ones.
    }


def copy_checkout(folder: Path) -> None:
    """Copies the files that Git knows, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
