"""List all runs under a folder, the best first: `browse LOGDIR [--csv]`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf.errors import UsageError
from dce_tf.reports.tables import print_table
from dce_tf.runs.listing import as_csv, as_table, list_runs


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    flags.DEFINE_bool("csv", False, "Print as CSV.", flag_values=values)
    flags.DEFINE_bool(
        "verbose", False, "Show tracebacks and warnings.", flag_values=values
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Lists the runs."""
    if len(arguments) > 1:
        raise UsageError(f"Expected one folder, received {len(arguments)}.")
    runs = list_runs(Path(arguments[0] if arguments else "log"))
    if settings["csv"]:
        csv.writer(sys.stdout, lineterminator="\n").writerows(as_csv(runs))
    else:
        print_table(as_table(runs))
    return 0
