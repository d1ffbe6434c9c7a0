"""The memory that all requests under way take together, over HTTP and gRPC."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from dce_tf.serving.errors import ServingError
from dce_tf.serving.limits import Limits


class MemoryBudget:
    """Bytes that all requests have together; for any thread.

    Args:
        limits: Says how many they may have, and what is kept for small ones.

    Attributes:
        limits: These.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held = 0
        self._lock = threading.Lock()

    def add(self, size: int, taken: int) -> None:
        """Counts more bytes.

        Args:
            size: How many.
            taken: What the same request has with them.

        Raises:
            ServingError: If there are too many then; they are counted nevertheless.
        """
        most = self.limits.held_bytes
        if taken > self.limits.query_bytes:
            most -= self.limits.kept_bytes
        with self._lock:
            self._held += size
            if self._held > most:
                raise ServingError(
                    "RESOURCE_EXHAUSTED",
                    "Too many large requests at once. Try again soon.",
                    http=503,
                )

    def subtract(self, size: int) -> None:
        """Counts bytes no more."""
        with self._lock:
            self._held -= size


class Share:
    """What one request has of a budget.

    Args:
        budget: Where it is taken from.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._taken = 0

    def take(self, size: int) -> None:
        """Counts more bytes.

        Raises:
            ServingError: If all requests together have too many then.
        """
        self._taken += size
        self._budget.add(size, self._taken)

    def give_back(self, size: int | None = None) -> None:
        """Counts bytes no more; all of the request's by default."""
        size = self._taken if size is None else size
        self._taken -= size
        self._budget.subtract(size)

    @contextlib.contextmanager
    def lent(self, size: int) -> Iterator[None]:
        """Has more bytes for a while.

        Raises:
            ServingError: If all requests together have too many then.
        """
        try:
            self.take(size)
            yield
        finally:
            self.give_back(size)
