"""Work done ahead of whoever needs it, or beside other work, in threads."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


def map_ahead(
    function: Callable[[T], R], items: Iterable[T], *, num_threads: int = 0, ahead: int
) -> Iterator[R]:
    """Yields `function(item)` in the order of the items, working ahead in threads.

    Args:
        function: What is done; its first error is raised where its result is due.
        items: Drawn by the caller's thread, no earlier than needed.
        num_threads: How many threads; 0 takes one a processor.
        ahead: The most items in work or done before the caller wants them.
    """
    waiting: collections.deque[concurrent.futures.Future[R]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(num_threads or os.cpu_count()) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def beside(
    function: Callable[P, object], *args: P.args, **options: P.kwargs
) -> Iterator[Callable[[], None]]:
    """Does something in a thread while the block runs; both are done behind it.

    Args:
        function: What is done. Its error is raised behind the block; if the block
            raised one, it is a note of that.
        *args: What it takes.
        **options: What it takes by name.

    Yields:
        What waits for it within the block, and raises its error there.
    """
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(function, *args, **options)

        def wait() -> None:
            done.result()

        try:
            yield wait
        except BaseException as error:
            other = done.exception()
            if other is not None and other is not error:
                error.add_note(f"What was done beside it failed, too: {other!r}")
            raise
        wait()
