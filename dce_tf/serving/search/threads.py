"""Threads that look into collections, and others that change them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from dce_tf.index import Collection, DamagedError
from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.limits import Deadline

T = TypeVar("T")

_LOOKING, _CHANGING, _REBUILDING, _MEASURING = 8, 2, 1, 1
_MOST_WAITING = 64
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOG = logging.getLogger(__name__)


class CollectionThreads:
    """Calls collections in threads, so that no kind of request keeps another waiting.

    What nobody waits for any more does not begin, or ends at its next block.
    """

    def __init__(self) -> None:
        self._looking = _Pool("looking", _LOOKING)
        self._changing = _Pool("changing", _CHANGING)
        self._rebuilding = _Pool("rebuilding", _REBUILDING)
        self._measuring = _Pool("measuring", _MEASURING)
        self._being_rebuilt: set[str] = set()

    def close(self) -> None:
        """Ends the threads; what they began they end."""
        pools = (self._looking, self._changing, self._rebuilding, self._measuring)
        for pool in pools:
            pool.close()

    async def look(
        self, deadline: Deadline, function: Callable[..., T], *args: Any
    ) -> T:
        """Calls what changes nothing.

        Raises:
            ServingError: If it fails, takes too long, or too many requests wait.
        """
        return await self._looking.call(deadline, function, *args)

    async def change(
        self, deadline: Deadline, function: Callable[..., T], *args: Any
    ) -> T:
        """Calls what changes a collection.

        Args:
            deadline: Until when.
            function: Takes, last, what says whether it is still wanted.
            *args: What it takes before.

        Raises:
            ServingError: See `look`.
        """
        abandoned = threading.Event()
        try:
            return await self._changing.call(
                deadline, function, *args, lambda: not abandoned.is_set()
            )
        finally:
            abandoned.set()

    async def rebuild(self, collection: Collection) -> None:
        """Makes the search structure of a collection again, however long it takes.

        Raises:
            ServingError: If it fails, or is under way already.
        """
        name = collection.name
        if name in self._being_rebuilt:
            raise ServingError("ABORTED", f"{name} is being rebuilt already.")
        self._being_rebuilt.add(name)
        try:
            await self._rebuilding.call(None, collection.rebuild)
        finally:
            self._being_rebuilt.discard(name)

    def measure(self, function: Callable[[], None]) -> None:
        """Calls what no request waits for; a failure is logged."""
        self._measuring.begin(function)


class _Pool:
    def __init__(self, name: str, threads: int) -> None:
        self._threads = concurrent.futures.ThreadPoolExecutor(
            threads, thread_name_prefix=f"collections-{name}"
        )
        self._room = threading.Semaphore(_MOST_WAITING)

    def close(self) -> None:
        self._threads.shutdown()

    def begin(self, function: Callable[[], None]) -> None:
        self._threads.submit(_logged, function)

    async def call(
        self, deadline: Deadline | None, function: Callable[..., T], *args: Any
    ) -> T:
        if not self._room.acquire(blocking=False):
            raise ServingError("UNAVAILABLE", "Too many requests to collections wait.")
        running = self._threads.submit(_explained, function, *args)
        running.add_done_callback(lambda _: self._room.release())
        waiting: asyncio.Future[T] = asyncio.wrap_future(running)
        return await (waiting if deadline is None else deadline.wait(waiting))


def _logged(function: Callable[[], None]) -> None:
    try:
        function()
    except (OSError, ValueError) as error:
        _LOG.warning("A measurement was left out: %s", error)


def _explained(function: Callable[..., T], *args: Any) -> T:
    """Calls a function; what it raises names no folders of this machine."""
    try:
        return function(*args)
    except DamagedError as error:
        _LOG.error("%s", error)
        raise ServingError(
            "DATA_LOSS", "Files of the collection are damaged; the log says which."
        ) from error
    except ValueError as error:
        raise invalid(str(error)) from error
    except OSError as error:
        _LOG.error("%s", error)
        if error.errno in _NO_SPACE:
            raise ServingError(
                "RESOURCE_EXHAUSTED",
                "The disk of the collection is full, so that the change could not be "
                "made. What was stored is kept. Make room, then send it again.",
                http=507,
            ) from error
        raise ServingError(
            "UNAVAILABLE",
            "The collection cannot be read or written now; the log says why.",
        ) from error
