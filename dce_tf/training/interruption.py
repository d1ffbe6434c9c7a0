"""Requests to stop that wait until the step in progress is done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Holds Ctrl-C and SIGTERM back, once; a second request stops at once.

    Yields:
        Returns whether somebody asked to stop.

    Raises:
        KeyboardInterrupt: At the end, if somebody did.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []
    before = [signal.getsignal(each) for each in _SIGNALS]

    def hear(number: int, _: object) -> None:
        asked.append(number)
        if len(asked) > 1:
            raise KeyboardInterrupt

    for each in _SIGNALS:
        signal.signal(each, hear)
    try:
        yield lambda: bool(asked)
    finally:
        for each, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(each, handler)
    if asked:
        raise KeyboardInterrupt
