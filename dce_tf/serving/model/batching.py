"""Examples of several requests go through the model together."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import tensorflow as tf

from dce_tf.serving.errors import ServingError, from_tensorflow
from dce_tf.serving.model.parts import Part
from dce_tf.serving.model.signatures import Arrays

Run = Callable[[Arrays], Arrays]
Answer = concurrent.futures.Future[Arrays]


@dataclasses.dataclass(eq=False)
class _Task:
    run: Run
    part: Part
    entered: float
    answer: Answer = dataclasses.field(default_factory=concurrent.futures.Future)


class Batcher:
    """Threads that take what waits, as much of it as fits into a batch, and run it.

    While a batch runs, the next one gathers, so batches grow with the load and nobody
    waits where there is none. A batch that the model refuses is cut in two until what
    is at fault stands alone: the others are answered.

    Args:
        max_batch_size: Examples run together; a single part may have more.
        max_pixels: Pixels of the images among them; a single part may have more.
        wait_seconds: How long the first example of a batch waits for others.
        max_queued: Examples that may wait; an idle queue takes any number.
        num_threads: Batches that run at once.
        observe: Told of each batch that ran: its examples, and how many seconds each
            part of it had waited.
    """

    def __init__(
        self,
        *,
        max_batch_size: int = 32,
        max_pixels: int = 100_000_000,
        wait_seconds: float = 0.0,
        max_queued: int = 1024,
        num_threads: int = 2,
        observe: Callable[[int, Sequence[float]], None] = lambda *_: None,
    ) -> None:
        self.max_batch_size = max_batch_size
        self.max_pixels = max_pixels
        self._wait_seconds = wait_seconds
        self._max_queued = max_queued
        self._observe = observe
        self._queues: dict[Hashable, collections.deque[_Task]] = {}
        self._queued = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"batches-{number}", daemon=True)
            for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def queued(self) -> int:
        """How many examples wait."""
        return self._queued

    def submit(self, key: Hashable, run: Run, parts: Sequence[Part]) -> list[Answer]:
        """Lets parts of a request wait for their batch; all of them or none.

        Args:
            key: Parts of the same key go together. What they hold must fit together
                but for the first axis, which counts examples.
            run: Takes a batch and returns as many examples of each output.
            parts: At least one.

        Returns:
            For each part what it will be answered. One that is cancelled in time is
            not run.

        Raises:
            ServingError: If too many wait already.
        """
        now = time.monotonic()
        tasks = [_Task(run, part, now) for part in parts]
        rows = sum(part.rows for part in parts)
        with self._changed:
            if self._closed:
                raise ServingError("UNAVAILABLE", "The server is shutting down.")
            if self._queued and self._queued + rows > self._max_queued:
                raise ServingError(
                    "UNAVAILABLE",
                    "The batch scheduling queue to which this task was submitted is "
                    f"full: {self._queued} examples wait, and no more than "
                    f"{self._max_queued} may. Try again in a moment.",
                )
            self._queues.setdefault(key, collections.deque()).extend(tasks)
            self._queued += rows
            self._changed.notify(len(tasks))
        return [task.answer for task in tasks]

    def close(self, patience: float | None = None) -> None:
        """Runs what still waits, takes nothing more, and ends the threads.

        Args:
            patience: Seconds to wait for each; None for ever.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(patience)

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        # A function of its own, so that nothing holds a model while there is no work.
        tasks = self._take()
        waiting = [task for task in tasks if task.answer.set_running_or_notify_cancel()]
        if waiting:
            now = time.monotonic()
            self._observe(
                sum(task.part.rows for task in waiting),
                [now - task.entered for task in waiting],
            )
            _answer(waiting)
        return bool(tasks)

    def _take(self) -> list[_Task]:
        """Waits for a batch; none when the batcher is closed and all is done."""
        with self._changed:
            while True:
                if not self._queues:
                    if self._closed:
                        return []
                    self._changed.wait()
                    continue
                key = min(self._queues, key=lambda key: self._queues[key][0].entered)
                due = self._queues[key][0].entered + self._wait_seconds
                left = due - time.monotonic()
                if left <= 0 or self._closed or self._is_full(key):
                    return self._pop(key)
                self._changed.wait(left)

    def _is_full(self, key: Hashable) -> bool:
        parts = [task.part for task in self._queues[key]]
        return (
            sum(part.rows for part in parts) >= self.max_batch_size
            or sum(part.pixels for part in parts) >= self.max_pixels
        )

    def _pop(self, key: Hashable) -> list[_Task]:
        queue = self._queues[key]
        tasks = [queue.popleft()]
        rows, pixels = tasks[0].part.rows, tasks[0].part.pixels
        while queue:
            rows += queue[0].part.rows
            pixels += queue[0].part.pixels
            if rows > self.max_batch_size or pixels > self.max_pixels:
                break
            tasks.append(queue.popleft())
        if not queue:
            del self._queues[key]
        self._queued -= sum(task.part.rows for task in tasks)
        return tasks


def _answer(tasks: Sequence[_Task]) -> None:
    """Runs tasks together, and apart where that fails."""
    try:
        outputs = tasks[0].run(_join(tasks))
    except tf.errors.OpError as error:
        if len(tasks) == 1:
            tasks[0].answer.set_exception(from_tensorflow(error))
            return
        middle = len(tasks) // 2
        _answer(tasks[:middle])
        _answer(tasks[middle:])
    except Exception:  # Whatever it is, somebody waits for an answer.
        logging.getLogger(__name__).exception("A batch could not be run.")
        for task in tasks:
            task.answer.set_exception(
                ServingError("INTERNAL", "The model failed; the server's log has why.")
            )
    else:
        _hand_out(tasks, outputs)


def _join(tasks: Sequence[_Task]) -> Arrays:
    if len(tasks) == 1:
        return tasks[0].part.inputs
    return {
        name: np.concatenate([task.part.inputs[name] for task in tasks])
        for name in tasks[0].part.inputs
    }


def _hand_out(tasks: Sequence[_Task], outputs: Arrays) -> None:
    if len(tasks) == 1:
        tasks[0].answer.set_result(outputs)
        return
    first = 0
    for task in tasks:
        rows = slice(first, first + task.part.rows)
        task.answer.set_result({name: value[rows] for name, value in outputs.items()})
        first += task.part.rows
