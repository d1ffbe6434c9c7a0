"""Prints a table of runs."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.reports.tables import print_table
from dce_tf.runs.run_table import as_csv, as_table, list_runs


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
