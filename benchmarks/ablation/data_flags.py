"""Which data sets the laboratory trains on, and where they lie."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.ablation.ideas import SETS


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that name data sets and the backbone."""
    parser.add_argument("--dogs", help="Where its index.csv lies.")
    parser.add_argument("--grocery", help="Where its index.csv lies.")
    parser.add_argument("--backbone", help="A Keras file, for all sets.")
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)


def settings_of_data(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Returns by data set the settings that read it."""
    return {
        "dogs": {"dataset": "csv", "data_dir": arguments.dogs},
        "grocery": {"dataset": "csv", "data_dir": arguments.grocery},
        "glyphs": {"dataset": "glyphs"},
    }
