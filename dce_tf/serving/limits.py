"""What a request may take: bytes, values, records and time."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable
from typing import TypeVar

from dce_tf.serving.errors import ServingError

T = TypeVar("T")

VALUE_BYTES = 96
"""More than Python takes for one value of JSON, with its place in a list."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes:
        body_bytes: Size of a body that carries images or tensors, unpacked.
        query_bytes: Size of any other body.
        json_values: Values of a body: numbers, strings, lists, objects and members.
        records: Records or ids that one request stores or deletes.
        body_seconds: Until its body is here.
        answer_seconds: From then until its answer: for unpacking, reading, running and
            writing together.
    """

    body_bytes: int = 64 * 2**20
    query_bytes: int = 2**20
    json_values: int = 1_000_000
    records: int = 10_000
    body_seconds: float = 30.0
    answer_seconds: float = 30.0

    @property
    def held_bytes(self) -> int:
        """What all requests under way may hold together: bodies and what they become.

        Four times the largest body, and never less than one request within the limits
        needs.
        """
        alone = 2 * self.body_bytes + VALUE_BYTES * self.json_values
        return max(4 * self.body_bytes, alone)

    @property
    def kept_bytes(self) -> int:
        """What of that is kept for small requests, while large ones take the rest."""
        return self.held_bytes // 8


class Deadline:
    """When a request must have its answer.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    async def wait(self, work: Awaitable[T]) -> T:
        """Waits for work, and cancels it when the time is over.

        Raises:
            ServingError: If the time is over first.
        """
        try:
            return await asyncio.wait_for(work, max(0.0, self._end - time.monotonic()))
        except TimeoutError:
            raise ServingError(
                "DEADLINE_EXCEEDED",
                f"There was no answer within {self._seconds:g} seconds.",
            ) from None
