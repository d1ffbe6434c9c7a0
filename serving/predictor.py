"""Asks a model through the batcher: what REST, gRPC and collections have in common."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from serving.batching import Answer, Batcher, count_rows
from serving.errors import ServingError
from serving.metrics import Metrics
from serving.pixels import check_pixels
from serving.servable import Servable
from serving.signatures import Arrays, Signature
from serving.versions import Versions


class Predictor:
    """Checks tensors, and lets them wait for their batch.

    Args:
        versions: What is served.
        batcher: Where requests meet.
        metrics: Told how long the model takes.
        max_batch_size: A request of more examples is cut.
        max_image_pixels: Pixels an image may have.
    """

    def __init__(
        self,
        versions: Versions,
        batcher: Batcher,
        metrics: Metrics,
        *,
        max_batch_size: int = 32,
        max_image_pixels: int = 50_000_000,
    ) -> None:
        self.versions = versions
        self._batcher = batcher
        self._metrics = metrics
        self._max_batch_size = max_batch_size
        self._max_image_pixels = max_image_pixels

    def check(self, signature: Signature, inputs: Arrays) -> None:
        """Checks tensors that have the right names and types.

        Raises:
            ServingError: If a shape does not fit, or an image has too many pixels.
        """
        signature.check(inputs)
        for array in inputs.values():
            if array.dtype == object:
                for data in array.flat:
                    check_pixels(data, self._max_image_pixels)

    def cut(self, signature: Signature, inputs: Arrays) -> list[Arrays]:
        """Returns the parts of a request that are no larger than a batch."""
        rows, most = count_rows(inputs), self._max_batch_size
        if rows <= most or not signature.is_batched:
            return [inputs]
        return [
            {name: value[first : first + most] for name, value in inputs.items()}
            for first in range(0, rows, most)
        ]

    def submit(
        self, servable: Servable, signature: Signature, parts: Sequence[Arrays]
    ) -> list[Answer]:
        """Asks for parts of one shape, all checked; each is answered for itself.

        Raises:
            ServingError: If too many requests wait.
        """
        key: Hashable = object()  # Like no other: goes alone.
        if signature.is_batched:
            shapes = [(name, value.shape[1:]) for name, value in parts[0].items()]
            key = (servable, signature.name, tuple(sorted(shapes)))
        run = functools.partial(self._run, servable, signature.name)
        return self._batcher.submit(key, run, parts)

    def _run(self, servable: Servable, name: str, inputs: Arrays) -> Arrays:
        started = time.perf_counter()
        outputs = servable.run(name, inputs)
        self._metrics.record_run(self.versions.name, time.perf_counter() - started)
        return outputs


async def wait_for(
    answers: Sequence[Answer], seconds: float, *, each: bool = False
) -> list[Any]:
    """Waits for answers; those nobody waits for any more are not worked out.

    Args:
        answers: What `Predictor.submit` returned.
        seconds: How long to wait.
        each: Return errors in their places instead of raising the first.

    Raises:
        ServingError: If it takes longer.
    """
    waiting = asyncio.gather(*map(asyncio.wrap_future, answers), return_exceptions=each)
    try:
        return await asyncio.wait_for(waiting, seconds)
    except TimeoutError:
        raise ServingError(
            "DEADLINE_EXCEEDED", f"There was no answer within {seconds:g} seconds."
        ) from None
    finally:
        for answer in answers:
            answer.cancel()  # Those that wait after one has failed.


def join(parts: Sequence[Arrays]) -> Arrays:
    """Returns the outputs of a request that was cut."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
