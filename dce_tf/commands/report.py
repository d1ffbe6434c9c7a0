"""Explains runs on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.commands.flags.calibrate import OVERRIDES
from dce_tf.commands.selecting import own_path, values_of
from dce_tf.reports.display import Display
from dce_tf.runs.opening import open_source
from dce_tf.runs.reporting import write_report
from dce_tf.runs.run_history import read_histories


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Reports."""
    paths = [own_path(word, "Name the run that it is of.") for word in arguments]
    if not paths:
        raise UsageError(
            "Expected one or more run directories, as `report RUN…`; received none."
        )
    display = Display()
    runs = read_histories(paths)
    opened = None
    if settings["images"]:
        given = values_of(settings, OVERRIDES)
        opened = open_source(paths[0], given, {}, display)
    output = Path(settings["output"] or paths[0] / "report.html")
    write_report(runs, opened, output, display)
    megabytes = output.stat().st_size / 1e6
    display.note(f"Written: {output} ({megabytes:.1f} MB; open it in a browser)")
    return 0
