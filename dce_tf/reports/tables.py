"""Printing tables, on a terminal and into a file."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

WIDTH_OF_A_FILE = 200  # Columns: written to a file there is no edge to fold at.


def print_table(table: Table) -> None:
    """Prints a table to standard output, no wider than the terminal if it is one."""
    console = Console()
    width = console.width if console.is_terminal else WIDTH_OF_A_FILE
    Console(width=width).print(table)
