"""A server that ends without dropping a request."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from dce_tf.serving.app import Health

_LOG = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GracefulServer(uvicorn.Server):
    """Ends in three steps when it is told to.

    `/readyz` says no at once, while requests are still taken, so that whoever shares
    them out hears of it. Then no more connections are taken, and requests under way are
    answered. Ctrl-C leaves the first step out; a second one does not wait.

    Args:
        config: Of uvicorn; its `timeout_graceful_shutdown` bounds the last step.
        health: Told that the end has begun.
        lame_duck_seconds: How long the first step takes.
    """

    def __init__(
        self, config: uvicorn.Config, health: Health, lame_duck_seconds: float
    ) -> None:
        super().__init__(config)
        self._health = health
        self._lame_duck_seconds = lame_duck_seconds
        self._closes_at = float("inf")
        self._is_told = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes the signals while it serves, and then gives them back unheard.

        uvicorn's own raises them again when it has ended, which would make a failure of
        a server that did what it was told.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to end."""
        del frame
        interrupted = sig == signal.SIGINT
        if self._health.is_draining and interrupted:
            self.force_exit = True
        wait = 0.0 if interrupted else self._lame_duck_seconds
        self._closes_at = min(self._closes_at, time.monotonic() + wait)
        self._health.drain()

    async def on_tick(self, counter: int) -> bool:
        """Looks, ten times a second, whether it is time to end."""
        if self._health.is_draining and not self._is_told:
            # Not in the handler: it may have broken into the writing of another line.
            self._is_told = True
            _LOG.info(
                "Told to end: requests are taken for %.1f s more.",
                max(0.0, self._closes_at - time.monotonic()),
            )
        if time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)
