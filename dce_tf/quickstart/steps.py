"""The steps from photographs to a page: each a command, skipped where it is done."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from dce_tf.base.errors import UsageError, plain_words
from dce_tf.base.program import PROGRAM
from dce_tf.config import Config
from dce_tf.index.embeddings import (
    check_folder,
    count_records,
    find_lists_of_bad,
    read_bad,
)
from dce_tf.index.manifest import Manifest
from dce_tf.quickstart.looking import Found
from dce_tf.quickstart.planning import PROFILE, why_not_calibrated
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display, leading

PORT = 8501
_SEEN_BY_DATA = ("max_bad_images", "max_image_pixels", "num_workers", "plugin")

RunCommand = Callable[[str, Sequence[str]], int]
"""Runs a command from its words and returns its exit code, as the command line does."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        title: What it does, for people.
        name: The command.
        words: Returns the words after it, which may depend on the steps before.
        done: Returns what is there already, if the step is done.
        may_fail: Whether the page comes about without it.
        remedy: What to do where it ends with an exit code, as a sentence.
    """

    title: str
    name: str
    words: Callable[[], list[str]]
    done: Callable[[], str | None] = lambda: None
    may_fail: bool = False
    remedy: str = ""


def command_line(step: Step, words: Sequence[str]) -> str:
    """Returns the command line that repeats a step by itself."""
    return f"{PROGRAM} {shlex.join([step.name, *words])}"


def as_words(settings: Mapping[str, Any]) -> list[str]:
    """Returns settings as words of a command line."""
    words = []
    for name, value in settings.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no{name}")
        elif isinstance(value, float):
            words.append(f"--{name}={value:g}")
        else:
            words.append(f"--{name}={value}")
    return words


def train_words(settings: Mapping[str, Any]) -> list[str]:
    """Returns the words of the command that trains with these settings."""
    return [f"--profile={PROFILE}", *as_words(settings)]


def run_steps(steps: Sequence[Step], run_command: RunCommand, display: Display) -> int:
    """Runs the steps that are not done.

    Args:
        steps: In their order.
        run_command: What runs a command.
        display: Says which step it is.

    Returns:
        Exit code: that of the first step that failed, or 0.
    """
    for number, step in enumerate(steps, 1):
        title = f"{number} of {len(steps)}, {step.title}"
        there = step.done()
        if there is not None:
            display.note(f"\nStep {title}: done already, {there}")
            continue
        words = step.words()
        display.note(f"\nStep {title}:\n  {command_line(step, words)}\n")
        try:
            with leading() if number < len(steps) else contextlib.nullcontext():
                code = run_command(step.name, words)
        except UsageError:
            raise
        except ValueError as error:
            if not step.may_fail:
                raise
            display.note(f"Goes on without this step: {plain_words(error)}")
            continue
        if code:
            display.note(f"{step.remedy} Then start the same command again.".strip())
            return code
        keras.utils.clear_session()
    return 0


def steps_to_page(
    found: Found,
    settings: Mapping[str, Any],
    config: Config,
    *,
    serves: bool,
    opens: bool,
    port: int | None,
) -> list[Step]:
    """Returns the steps from a folder to its page.

    Args:
        found: The data.
        settings: Those of `train`, by name.
        config: The same, with all others.
        serves: Whether the last step is to serve the page.
        opens: Whether that opens it in a browser.
        port: Where it is served; None for the usual one, or a free one.
    """
    run = RunDirectory.of(config)
    index = run.path / "index"
    steps = [
        _look(found, settings, config, run),
        Step(
            "train",
            "train",
            lambda: train_words(settings),
            lambda: _trained(run, config),
        ),
    ]
    if why_not_calibrated(found, config) is None:
        steps.append(
            Step(
                "learn what scores mean",
                "calibrate",
                lambda: [str(run.path)],
                lambda: _there(run.calibration_file),
                may_fail=True,
            )
        )
    steps += [
        Step(
            "embed all images",
            "embed",
            lambda: [str(run.path), "--split=all"],
            lambda: _embedded(run, found.num_images),
        ),
        Step(
            "make the index",
            "index",
            lambda: _index_words(run, index),
            lambda: _indexed(run, index),
        ),
    ]
    if serves:
        steps.append(
            Step(
                "serve the page", "serve", lambda: _serve_words(run, index, port, opens)
            )
        )
    return steps


def _look(
    found: Found, settings: Mapping[str, Any], config: Config, run: RunDirectory
) -> Step:
    names = [name for name in _SEEN_BY_DATA if name in settings]
    words = as_words(
        {
            "dataset": found.dataset,
            "data_dir": found.data_dir,
            **{name: settings[name] for name in names},
            "output_dir": str(run.path.parent),
        }
    )
    return Step(
        "look at every image",
        "data",
        lambda: words,
        lambda: None if config.run.overwrite else _begun(run),
        remedy="Mend or remove these images, or pass a larger --max_bad_images.",
    )


def _begun(run: RunDirectory) -> str | None:
    return f"{run.path} has begun." if run.metrics_file.is_file() else None


def _there(file: Path) -> str | None:
    return f"{file} is there." if file.is_file() else None


def _trained(run: RunDirectory, config: Config) -> str | None:
    """Says that the run is done; what another run is in its place, `train` says."""
    is_other = run.config_file.is_file() and run.config().differences(config)
    if config.run.overwrite or is_other:
        return None
    return _there(run.report_file)


def _embedded(run: RunDirectory, num_images: int) -> str | None:
    try:
        _, parts = check_folder(run.embeddings)
    except ValueError:
        return None
    bad = sum(
        len(read_bad(run.embeddings / part.bad_name))
        for part in find_lists_of_bad(run.embeddings)
    )
    if count_records(run.embeddings, parts) + bad != num_images:
        return None
    return f"{run.embeddings} holds {num_images:,} images."


def _indexed(run: RunDirectory, index: Path) -> str | None:
    """Says that the index is there, of this model; others may have added to it."""
    try:
        header, _ = check_folder(run.embeddings)
        manifest = Manifest.read(index)
    except ValueError:
        return None
    if manifest.fingerprint != header.fingerprint:
        return None
    return f"{index} holds {manifest.count:,} images."


def _index_words(run: RunDirectory, index: Path) -> list[str]:
    words = [str(run.embeddings)]
    if run.calibration_file.is_file():
        words.append(f"--calibration={run.path}")
    if index.is_dir():
        words.append("--overwrite")
    return words


def _serve_words(
    run: RunDirectory, index: Path, port: int | None, opens: bool
) -> list[str]:
    words = [str(run.path), f"--index={index}"]
    if port is None and not _is_free(PORT):
        port = 0  # A free one.
    if port is not None:
        words.append(f"--port={port}")
    return [*words, "--open"] if opens else words


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
