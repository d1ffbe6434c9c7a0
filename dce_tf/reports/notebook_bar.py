"""A progress bar for notebooks, which needs no widgets."""

from __future__ import annotations

import contextlib
import html
import time
from collections.abc import Callable, Iterator
from typing import Any

Update = Callable[[int, str], None]

_SECONDS = 0.25  # Between two looks of the bar: each is a message to the browser.


@contextlib.contextmanager
def notebook_bar(name: str, total: int) -> Iterator[Update]:
    """Shows a bar in the output of a cell; it is gone when the task is done.

    The bar of rich needs the package ipywidgets, and warns in each task without it. A
    task that is done at once shows none: what is taken away leaves an empty line.

    Args:
        name: What the task is.
        total: How many units it has.

    Yields:
        A function to be called with the units done so far and a note.
    """
    from IPython import display

    shown: Any = None
    last = time.monotonic()

    def update(done: int, note: str) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if now - last < _SECONDS:
            return
        last, picture = now, _picture(name, total, done, note)
        if shown is None:
            shown = display.display(picture, raw=True, display_id=True)
        else:
            shown.update(picture, raw=True)

    try:
        yield update
    finally:
        if shown is not None:
            shown.update({"text/plain": "", "text/html": ""}, raw=True)


def _picture(name: str, total: int, done: int, note: str) -> dict[str, str]:
    """Returns the bar, by MIME type."""
    line = f"{name}  {done}/{total}  {note}".rstrip()
    bar = f'<progress value="{done}" max="{max(total, 1)}"></progress>'
    return {"text/plain": line, "text/html": f"{bar} <code>{html.escape(line)}</code>"}
