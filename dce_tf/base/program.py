"""What the program is called where it runs, for help and errors that name a command."""

from __future__ import annotations

import sys
from pathlib import Path

INSTALLED = "dce-tf"
"""The command that pip installs (`project.scripts` of `pyproject.toml`)."""
CHECKOUT = "python main.py"
"""The same program in a checkout."""


def find_program(started: str, package: Path) -> str:
    """Returns the words that start the program here.

    Args:
        started: What was started: `sys.argv[0]`. A notebook, a worker of Ray or a test
            starts neither `main.py` nor `dce-tf`; then the package decides.
        package: The folder of the package. In a checkout `main.py` stands beside it.
    """
    name = Path(started).name
    if name == "main.py":
        return CHECKOUT
    if name.removesuffix(".exe") == INSTALLED:
        return INSTALLED
    return CHECKOUT if (package.parent / "main.py").is_file() else INSTALLED


PROGRAM = find_program(sys.argv[0] if sys.argv else "", Path(__file__).parents[1])


def tell_to_install(extra: str) -> str:
    """Returns the command that installs one of the extras of `pyproject.toml`."""
    where = "." if PROGRAM == CHECKOUT else INSTALLED
    return f"`pip install '{where}[{extra}]'`"
