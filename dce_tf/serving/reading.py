"""Reads what requests carry, and writes answers, in threads where that takes long."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import gc
import threading
from collections.abc import Callable, Iterator
from typing import ParamSpec, Protocol, TypeVar

from dce_tf.serving.errors import ServingError
from dce_tf.serving.limits import Deadline, Limits
from dce_tf.serving.memory import Share

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 4
# What takes less than a millisecond is not worth a thread.
SHORT_BYTES, SHORT_VALUES = 128 * 1024, 4096


class Size(Protocol):
    """Bounds on what a request carries, known before anybody reads it."""

    @property
    def length(self) -> int:
        """Its bytes."""

    @property
    def values(self) -> int:
        """Its values."""

    @property
    def read_bytes(self) -> int:
        """Memory that it takes once it is read."""


@dataclasses.dataclass(frozen=True)
class Received:
    """What a request carries that is here, and not read yet.

    Attributes:
        text: Its bytes, unpacked.
        size: Bounds on it.
        share: The memory of its request.
        deadline: When the request must have its answer.
    """

    text: bytes
    size: Size
    share: Share
    deadline: Deadline

    @property
    def is_short(self) -> bool:
        """Whether it is read at once, without a thread."""
        size = self.size
        return size.length <= SHORT_BYTES and size.values <= SHORT_VALUES


class Readers:
    """A few threads that read and write.

    Args:
        limits: What a request may take.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._threads = concurrent.futures.ThreadPoolExecutor(
            _THREADS, thread_name_prefix="readers"
        )

    def close(self) -> None:
        """Ends the threads; what they began they end."""
        self._threads.shutdown()

    async def measure(
        self,
        text: bytes,
        measure: Callable[[bytes, int], Size],
        share: Share,
        deadline: Deadline,
    ) -> Received:
        """Bounds what a request carries.

        Args:
            text: Its bytes.
            measure: Takes them, and the values at which it may stop.
            share: The memory of the request.
            deadline: When it must have its answer.

        Raises:
            ServingError: If it has too many values, or would take too much memory.
        """
        most = self._limits.json_values
        if len(text) <= SHORT_BYTES:
            size = measure(text, most)
        else:
            size = await deadline.wait(self.run(measure, text, most))
        _check_size(size, self._limits)
        return Received(text, size, share, deadline)

    async def read(
        self,
        received: Received,
        function: Callable[P, T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """Calls what reads what was received, in a thread if that takes long.

        Raises:
            ServingError: If it takes too long or too much memory, and what `function`
                raises.
        """
        if received.is_short:
            return function(*args, **options)

        def work() -> T:
            with received.share.lent(received.size.read_bytes), _no_collection():
                return function(*args, **options)

        return await received.deadline.wait(self.run(work))

    async def write(
        self,
        deadline: Deadline,
        values: int,
        function: Callable[P, T],
        *args: P.args,
        **options: P.kwargs,
    ) -> T:
        """Calls what writes an answer, in a thread if that takes long.

        Args:
            deadline: When it must be there.
            values: Numbers and strings it has, about.
            function: Writes it.
            *args: What it takes.
            **options: What it takes by name.

        Raises:
            ServingError: If it takes too long, and what `function` raises.
        """
        if values <= SHORT_VALUES:
            return function(*args, **options)
        return await deadline.wait(self.run(function, *args, **options))

    def run(
        self, function: Callable[P, T], *args: P.args, **options: P.kwargs
    ) -> asyncio.Future[T]:
        """Calls a function in one of the threads."""
        return asyncio.wrap_future(self._threads.submit(function, *args, **options))


def _check_size(size: Size, limits: Limits) -> None:
    if size.values > limits.json_values:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"The request holds more than {limits.json_values:,} values: numbers, "
            "strings, lists, objects and their members. Send fewer at once, images as "
            "base64, or tensors of gRPC as `tensor_content`.",
            http=413,
        )
    room = limits.held_bytes
    if size.length > limits.query_bytes:
        room -= limits.kept_bytes
    if size.length + size.read_bytes > room:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"The request of {size.length:,} bytes would take up to "
            f"{size.read_bytes:,} once it is read, of {room:,} there are. Send it in "
            "parts; a "
            "letter beyond Latin-1 makes every letter of its string up to four bytes "
            "wide.",
            http=413,
        )


_collecting = threading.Lock()
_readers = 0


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python's collector from looking through a large body while it is read.

    It would look at every list so far, again and again, and let nobody else run.
    """
    global _readers
    with _collecting:
        _readers += 1
        gc.disable()
    try:
        yield
    finally:
        with _collecting:
            _readers -= 1
            if not _readers:
                gc.enable()
