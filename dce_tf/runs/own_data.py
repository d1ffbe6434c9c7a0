"""The data a run is of: kept in it, and held against what is at hand later."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dce_tf.base.files import write_json, write_text
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.datasets.digest import (
    Home,
    common_folder,
    describe,
    differences,
    folders_of,
    relative_paths,
)
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display

_LEFT_OUT = "left_out"


def check_own_data(
    run: RunDirectory, splits: Splits, config: Config, display: Display
) -> None:
    """Keeps the digest of the data in a run that begins; refuses others later.

    A run may move with its data: where they lie may change.

    Args:
        run: Held by this process.
        splits: As the reader gives them.
        config: The settings, which say where the data lie now.
        display: Is told of a run that began before runs kept a digest.

    Raises:
        ValueError: If the run began with other data.
    """
    record = _read(run)
    if not run.metrics_file.is_file():
        _write(run, describe(splits))
    elif record is None:
        display.note(
            f"Warning: {run.path} began before runs kept a digest of their data, so "
            "that it cannot be checked whether these are the same. They are kept in "
            f"{run.data_file.name} now, and checked from now on."
        )
        _write(run, describe(splits))
    elif found := differences(record, splits):
        where = config.data.data_dir or common_folder(splits)
        raise ValueError(
            f"{run.path} is a run on other data than those in {where}. "
            f"{'; '.join(found)}. Pass the --data_dir of its own data, which lay below "
            f"{record['root']}; or another --exp for a run on these data; or "
            "--overwrite to start over."
        )
    else:
        home = Home(splits)
        now = {"root": str(home.root), **folders_of(home)}
        if any(record.get(key) != value for key, value in now.items()):
            _move(run, record, now, config)


def other_data(run: RunDirectory, splits: Splits) -> str | None:
    """Says how data differ from those of a run, where it may be used on any.

    Args:
        run: The run.
        splits: As a reader gives them.

    Returns:
        A sentence; None if they are the same, or the run does not know its data.
    """
    record = _read(run)
    found = differences(record, splits) if record is not None else []
    if not found:
        return None
    return f"These are not the data of the run {run.path}. {'; '.join(found)}."


def known_left_out(run: RunDirectory, splits: Splits) -> dict[str, str] | None:
    """Returns the images that the run has left out so far, and why.

    Args:
        run: The run.
        splits: Its data, as the reader gives them.

    Returns:
        The reason by the path of each; None before the run has looked for them.
    """
    record = _read(run) or {}
    if _LEFT_OUT not in record:
        return None
    home = Home(splits)
    reason = "it was broken when the run began"
    return {home.path(name): reason for name in record[_LEFT_OUT]}


def keep_left_out(run: RunDirectory, splits: Splits, left_out: Iterable[str]) -> None:
    """Keeps which images the run leaves out, so that its rows stay what they are."""
    record = _read(run) or describe(splits)
    paths = sorted(Home(splits).names(list(left_out)))
    if record.get(_LEFT_OUT) != paths:
        _write(run, {**record, _LEFT_OUT: paths})


def _read(run: RunDirectory) -> dict[str, Any] | None:
    if not run.data_file.is_file():
        return None
    record: dict[str, Any] = json.loads(run.data_file.read_text(encoding="utf-8"))
    return record


def _write(run: RunDirectory, record: Mapping[str, Any]) -> None:
    write_text(run.data_file, json.dumps(record, indent=1) + "\n")


def _move(
    run: RunDirectory,
    record: Mapping[str, Any],
    now: Mapping[str, Any],
    config: Config,
) -> None:
    """Lets a run look for its data where they lie now."""
    if run.bad_images_file.is_file():
        broken = json.loads(run.bad_images_file.read_text(encoding="utf-8"))
        moved = {_moved(path, record, now): why for path, why in broken.items()}
        write_json(run.bad_images_file, moved)
    own = run.config().replace(data_dir=config.data.data_dir)
    write_text(run.config_file, own.to_json())
    _write(run, {**record, **now})


def _moved(path: str, record: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Returns where an image lies that lay elsewhere."""
    places = [
        (old, now["folders"][name])
        for name, old in record.get("folders", {}).items()
        if Path(path).absolute().is_relative_to(old)
    ]
    # Of nested folders the inner one is that of its source.
    places.sort(key=lambda place: len(place[0]))
    old, new = places[-1] if places else (record["root"], now["root"])
    return f"{new}/{relative_paths([path], Path(old))[0]}"
