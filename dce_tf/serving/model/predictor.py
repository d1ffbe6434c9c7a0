"""Asks a model through the batcher: what REST, gRPC and collections have in common."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.serving.errors import ServingError
from dce_tf.serving.limits import Deadline
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.batching import Answer, Batcher
from dce_tf.serving.model.image_size import count_pixels
from dce_tf.serving.model.parts import Part, count_rows
from dce_tf.serving.model.servable import Servable
from dce_tf.serving.model.signatures import Arrays, Signature
from dce_tf.serving.model.versions import Versions

_BATCHES_AT_ONCE = 8  # Of one request; as many as keep all threads busy.
_PAUSE = 0.01  # Seconds until a request that has begun looks again for room.


class Predictor:
    """Checks tensors, and lets them wait for their batch.

    Args:
        versions: What is served.
        batcher: Where requests meet.
        metrics: Told how long the model takes.
        max_image_pixels: The most pixels of an image.
        max_request_pixels: Pixels all images of a request may have together.
        max_examples: Examples a request may have.
    """

    def __init__(
        self,
        versions: Versions,
        batcher: Batcher,
        metrics: Metrics,
        *,
        max_image_pixels: int = 50_000_000,
        max_request_pixels: int = 1_000_000_000,
        max_examples: int = 10_000,
    ) -> None:
        self.versions = versions
        self._batcher = batcher
        self._metrics = metrics
        self._max_image_pixels = max_image_pixels
        self._max_request_pixels = max_request_pixels
        self._max_examples = max_examples

    def prepare(self, signature: Signature, inputs: Arrays) -> list[Part]:
        """Checks tensors that have the right names and types.

        Returns:
            Parts that are no larger than a batch.

        Raises:
            ServingError: If a shape does not fit, there are too many examples, or an
                image has too many pixels.
        """
        signature.check(inputs)
        if signature.is_batched:
            self.check_count(count_rows(inputs))
        pixels = np.zeros(count_rows(inputs), np.int64)
        for array in inputs.values():
            if array.dtype == object and array.size:
                counts = [
                    count_pixels(each, self._max_image_pixels) for each in array.flat
                ]
                # Of a scalar too, all are of the first row.
                pixels += np.reshape(counts, (len(pixels), -1)).sum(axis=1)
        if not signature.is_batched:
            return [Part(inputs, int(pixels.sum()))]
        return [
            Part({name: value[rows] for name, value in inputs.items()}, int(total))
            for rows, total in self._cut(pixels)
        ]

    def _cut(self, pixels: npt.NDArray[np.int64]) -> Iterator[tuple[slice, int]]:
        """Yields the rows of each part, and how many pixels these have."""
        first = total = 0
        for row, more in enumerate(pixels.tolist()):
            is_full = row - first >= self._batcher.max_batch_size
            if row > first and (is_full or total + more > self._batcher.max_pixels):
                yield slice(first, row), total
                first, total = row, 0
            total += more
        yield slice(first, len(pixels)), total

    def check_count(self, examples: int) -> None:
        """Checks how many examples a request has.

        Raises:
            ServingError: If there are too many.
        """
        if examples > self._max_examples:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"The request has {examples:,} examples; this server takes up to "
                f"{self._max_examples:,} at once. Send them in parts.",
                http=413,
            )

    def check_pixels(self, parts: Sequence[Part]) -> None:
        """Checks how many pixels all images of a request have.

        Raises:
            ServingError: If these are too many.
        """
        pixels = sum(part.pixels for part in parts)
        if pixels > self._max_request_pixels:
            raise ServingError(
                "INVALID_ARGUMENT",
                f"The images of the request have {pixels:,} pixels together; this "
                f"server decodes up to {self._max_request_pixels:,} at once "
                "(--max_request_pixels). Send fewer, or scale them down.",
                http=413,
            )

    def submit(
        self, servable: Servable, signature: Signature, parts: Sequence[Part]
    ) -> list[Answer]:
        """Asks for parts of one shape, all checked; each is answered for itself.

        Raises:
            ServingError: If too many requests wait.
        """
        key: Hashable = object()  # Like no other: goes alone.
        if signature.is_batched:
            shapes = [
                (name, value.shape[1:]) for name, value in parts[0].inputs.items()
            ]
            key = (servable, signature.name, tuple(sorted(shapes)))
        run = functools.partial(self._run, servable, signature.name)
        return self._batcher.submit(key, run, parts)

    async def run(
        self,
        servable: Servable,
        signature: Signature,
        parts: Sequence[Part],
        deadline: Deadline,
        *,
        each: bool = False,
    ) -> list[Any]:
        """Asks for parts of one shape, all checked, and waits for all answers.

        Only some wait for a batch at a time, so that a large request leaves room for
        others between its own.

        Args:
            servable: Whom to ask.
            signature: Its function.
            parts: Each is answered for itself.
            deadline: Until when to wait.
            each: Return errors in their places instead of raising the first.

        Raises:
            ServingError: If it takes longer, its images have too many pixels together,
                or too many requests wait at the start.
        """
        self.check_pixels(parts)
        answers: list[Any] = []
        for window in self._windows(parts):
            request = (servable, signature, window)
            if answers:
                submitted = await deadline.wait(self._submit_patiently(*request))
            else:
                submitted = self.submit(*request)
            answers += await wait_for(submitted, deadline, each=each)
        return answers

    def _windows(self, parts: Sequence[Part]) -> Iterator[list[Part]]:
        window: list[Part] = []
        rows = 0
        for part in parts:
            more = part.rows
            if window and rows + more > _BATCHES_AT_ONCE * self._batcher.max_batch_size:
                yield window
                window, rows = [], 0
            window.append(part)
            rows += more
        if window:
            yield window

    async def _submit_patiently(
        self, servable: Servable, signature: Signature, parts: Sequence[Part]
    ) -> list[Answer]:
        while True:
            try:
                return self.submit(servable, signature, parts)
            except ServingError as error:
                if error.code != "UNAVAILABLE":
                    raise
            await asyncio.sleep(_PAUSE)

    def _run(self, servable: Servable, name: str, inputs: Arrays) -> Arrays:
        started = time.perf_counter()
        outputs = servable.run(name, inputs)
        self._metrics.record_run(self.versions.name, time.perf_counter() - started)
        return outputs


async def wait_for(
    answers: Sequence[Answer], deadline: Deadline, *, each: bool = False
) -> list[Any]:
    """Waits for answers; those nobody waits for any more are not worked out.

    Args:
        answers: What `Predictor.submit` returned.
        deadline: Until when to wait.
        each: Return errors in their places instead of raising the first.

    Raises:
        ServingError: If it takes longer.
    """
    waiting = asyncio.gather(*map(asyncio.wrap_future, answers), return_exceptions=each)
    try:
        return await deadline.wait(waiting)
    finally:
        for answer in answers:
            answer.cancel()  # Those that wait after one has failed.


def join(parts: Sequence[Arrays]) -> Arrays:
    """Returns the outputs of a request that was cut."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
