"""Publishes an exported model on the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.hub.address import EXPECTED, HubAddress, is_on_hub
from dce_tf.hub.files import README
from dce_tf.hub.pushing import PushSettings, push
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.training.checkpoints import Checkpoints


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Pushes."""
    if len(arguments) != 2:
        raise UsageError(
            "Expected a run or an exported version, and where to: push RUN "
            f"hf://user/name; received {len(arguments)} words."
        )
    source, target = arguments
    if not is_on_hub(target):
        raise UsageError(f"{target}: {EXPECTED} as the second word.")
    if is_on_hub(source):
        raise UsageError(f"{source}: expected a run or a version of this machine.")
    path = Path(source)
    pushed = push(
        path,
        _keras_of(path) if settings["with_keras"] else None,
        HubAddress.parse(target),
        PushSettings(settings["public"], settings["license"], settings["replace_page"]),
    )
    display = Display()
    if pushed.kept_page:
        display.note(
            f"{README} was edited there and is kept; its scores may be older. "
            "--replace_page writes it again."
        )
    what = "Written" if pushed.changed else "Nothing has changed"
    display.note(f"{what}: {pushed.address}")
    display.try_next(f"{PROGRAM} serve {target}")
    return 0


def _keras_of(path: Path) -> Path:
    run_directory = RunDirectory.opened(path)
    best = Checkpoints(run_directory.checkpoints).best_model
    if not best.is_file():
        raise ValueError(f"--with_keras: {path} has no {best.name}. Train it first.")
    return best
