"""Work done ahead of whoever needs it, in threads."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

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
