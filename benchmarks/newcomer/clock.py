"""A clock that stands while this program is stopped, or the machine sleeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_TICK, _LONGEST = 0.5, 5.0  # Seconds; a busy machine makes ticks late, but not by this.


class Clock:
    """Tells seconds without those in which the program was stopped as a whole.

    Whoever measures on the same machine may stop others meanwhile (SIGSTOP).

    Args:
        moment: Tells seconds that go on.
    """

    def __init__(self, moment: Callable[[], float] = time.monotonic) -> None:
        self._moment = moment
        self._lock = threading.Lock()
        self._lost, self._last = 0.0, moment()

    def start(self) -> None:
        """Ticks from now on, so that a stop is seen."""
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while True:
            time.sleep(_TICK)
            self.now()

    def now(self) -> float:
        """Returns seconds since some moment."""
        with self._lock:
            moment = self._moment()
            if moment - self._last > _LONGEST:
                self._lost += moment - self._last
            self._last = moment
            return moment - self._lost


CLOCK = Clock()
