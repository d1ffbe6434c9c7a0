"""Waiting for what another thread or process does."""

import time
from collections.abc import Callable

PATIENCE = 60.0  # Seconds; the machine may be busy.


def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Waits until something holds, and fails if it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
