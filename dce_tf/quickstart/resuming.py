"""Finds the run that a folder was begun with, and what it was begun with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dce_tf.base.program import PROGRAM
from dce_tf.config import Config
from dce_tf.quickstart.looking import Found
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.own_data import other_data


def run_name(found: Found) -> str:
    """Returns the name of the run on a folder: that of the folder."""
    return re.sub(r"[^\w.-]+", "-", found.name).strip("-.") or "0"


def begun_run(found: Found, given: Mapping[str, Any]) -> RunDirectory | None:
    """Returns the run that was begun with the same command, if there is one.

    Args:
        found: The data.
        given: The settings that the user gave, by name, with `dir` and `exp`.
    """
    config = Config(**{**given, "dataset": found.dataset})
    run = RunDirectory.of(config)
    return run if run.metrics_file.is_file() and not config.run.overwrite else None


def check_same_data(run: RunDirectory, found: Found) -> None:
    """Checks that a folder holds what it held when its run began.

    Raises:
        ValueError: If it does not, with what can be done.
    """
    other = other_data(run, found.splits)
    if other is None:
        return
    raise ValueError(
        f"{found.data_dir} has changed. {other} To train on what is there now, pass "
        "--overwrite, or --exp=NAME to keep the old run as well. To keep the model and "
        f"search in what is there now: `{PROGRAM} embed {run.path} --split=all`, then "
        f"`{PROGRAM} index {run.embeddings} --overwrite`."
    )


def settings_of(
    run: RunDirectory, found: Found, given: Mapping[str, Any], profile: Config
) -> dict[str, Any]:
    """Returns the settings that a run was begun with, but for those of the profile.

    So what was chosen stays, whatever would be chosen now: a network that could not be
    had then may be there today.

    Args:
        run: The run.
        found: Its data.
        given: The settings that the user gives now, by name; they win.
        profile: The settings of the profile.
    """
    own, usual = run.config().identity(), profile.identity()
    kept = {
        name: value
        for name, value in own.items()
        if value != usual[name] and value is not None
    }
    return {"dataset": found.dataset, "data_dir": found.data_dir, **kept, **given}
