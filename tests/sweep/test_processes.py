import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf.config import Config
from dce_tf.sweep import processes
from tests.waiting import until

CHILD = """
import os, pathlib, signal, sys, time
def hear(*_):
    print("asked", flush=True)
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.01)
    print("kept", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, hear)
signal.signal(signal.SIGINT, hear)
signal.alarm(60)  # For a test that fails.
print("ready", os.getpid(), flush=True)
while True:
    signal.pause()
"""


def wait_for(word: str, output: Path) -> str:
    until(lambda: output.is_file() and word in output.read_text())
    return output.read_text()


def run_and_disturb(tmp_path: Path, disturb: Callable[[int], None]) -> str:
    """Runs the child, and something beside it that is told its process id."""
    output = tmp_path / "out.txt"

    def beside() -> None:
        disturb(int(wait_for("\n", output).split()[1]))

    thread = threading.Thread(target=beside, daemon=True)
    thread.start()
    command = [sys.executable, "-c", CHILD, str(tmp_path / "may go")]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        processes.run_child(command, output)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    child = int(output.read_text().split()[1])
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    return output.read_text()


def test_request_to_stop_is_handed_on_and_waited_for(tmp_path: Path) -> None:
    def disturb(child: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for("asked", tmp_path / "out.txt")
        (tmp_path / "may go").touch()

    text = run_and_disturb(tmp_path, disturb)
    assert text.split()[2:] == ["asked", "kept"]


def test_ctrl_c_which_a_child_hears_itself_is_not_said_twice(tmp_path: Path) -> None:
    def disturb(child: int) -> None:
        for each in (os.getpid(), child):
            os.kill(each, signal.SIGINT)
        wait_for("asked", tmp_path / "out.txt")
        time.sleep(0.5)  # `subprocess.run` would kill it in half of this.
        (tmp_path / "may go").touch()

    text = run_and_disturb(tmp_path, disturb)
    assert text.split()[2:] == ["asked", "kept"]


def test_second_request_kills(tmp_path: Path) -> None:
    def disturb(child: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for("asked", tmp_path / "out.txt")
        os.kill(os.getpid(), signal.SIGTERM)

    text = run_and_disturb(tmp_path, disturb)
    assert text.split()[2:] == ["asked"]


def test_child_finds_this_package_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "other")
    (tmp_path / "dce_tf.py").write_text("raise SystemExit('another package')")
    output = tmp_path / "out.txt"
    plain = subprocess.Popen

    def popen(command: list[str], **options: object) -> subprocess.Popen:
        where = "import os, dce_tf; print(dce_tf.__path__[0], os.environ['PYTHONPATH'])"
        return plain([*command[: command.index("-c") + 1], where], **options)

    monkeypatch.setattr(processes.subprocess, "Popen", popen)
    assert processes.run_in_process(Config(), output) == ""
    root = Path(processes.__file__).parents[2]
    assert output.read_text().split() == [
        str(root / "dce_tf"),
        f"{root}{os.pathsep}other",
    ]
