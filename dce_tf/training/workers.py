"""The processes that train together, and what they tell each other."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.errors import UsageError, first_line
from dce_tf.training.pipelines import WHOLE, Share

T = TypeVar("T")

_MESSAGES = (1 << 8, 1 << 14, 1 << 20)  # Numbers in one.
_VALUE, _ERROR, _USAGE = b"V", b"E", b"U"


def array_as_bytes(array: npt.NDArray[Any] | None) -> bytes:
    """Returns an array, or None, as `Workers.from_chief` may send it."""
    if array is None:
        return b""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_of_bytes(data: bytes) -> Any:
    """Returns what `array_as_bytes` was given."""
    return np.load(io.BytesIO(data), allow_pickle=False) if data else None


class Workers:
    """The processes of a strategy; in the plain case there is only this one.

    Args:
        strategy: `MultiWorkerMirroredStrategy`, or any strategy of one process.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self.strategy = strategy
        self.index, self.count = 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            addresses = resolver.cluster_spec().as_dict()
            tasks = [
                (kind, number)
                for kind in ("chief", "worker")
                for number in range(len(addresses.get(kind, ())))
            ]
            self.index = tasks.index((resolver.task_type, resolver.task_id))
            self.count = len(tasks)

    @property
    def is_chief(self) -> bool:
        """Whether this is the process that writes and decides."""
        return self.index == 0

    @property
    def share(self) -> Share:
        """The part of each batch that is for this process.

        In one process TensorFlow itself cuts batches for the devices.
        """
        if self.count == 1:
            return WHOLE
        replicas = self.strategy.num_replicas_in_sync
        return Share(self.index, self.count, replicas // self.count)

    def part_of(self, items: Sequence[T]) -> Sequence[T]:
        """Returns the share of a list that is for this process to work on."""
        first, last = (len(items) * (self.index + end) // self.count for end in (0, 1))
        return items[first:last]

    def gather(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Joins the arrays of all processes, in their order.

        Args:
            array: float32 or int32 `(n, ...)`; n may differ between processes.
        """
        if self.count == 1:
            return array
        size = np.array([array.size], np.int32)
        sizes = np.concatenate(self._exchange(_filled(size, _MESSAGES[0])))
        sizes = sizes.reshape(self.count, -1)[:, 0]
        # Messages of few sizes, so that few functions are traced.
        length = next((m for m in _MESSAGES if m >= sizes.max()), _MESSAGES[-1])
        flat, parts = array.ravel(), []
        for start in range(0, int(sizes.max()), length):
            message = _filled(flat[start : start + length], length)
            parts.append(self._exchange(message))
        received = (
            np.concatenate([part[worker] for part in parts])[: sizes[worker]]
            for worker in range(self.count if parts else 0)
        )
        joined = np.concatenate([*received, array.ravel()[:0]])
        return joined.reshape(-1, *array.shape[1:])

    def _exchange(self, message: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Returns the message of each process; all of one size."""
        values = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(message)
        )
        exchange = _exchange_of(self.strategy, message.dtype.name, len(message))
        joined = exchange(values)
        (everything, *_) = self.strategy.experimental_local_results(joined)
        parts = np.split(everything.numpy(), self.strategy.num_replicas_in_sync)
        # All devices of a process have said the same.
        return parts[:: len(parts) // self.count]

    def from_chief(
        self,
        make: Callable[[], T],
        dump: Callable[[T], bytes] = lambda value: json.dumps(value).encode(),
        load: Callable[[bytes], T] = json.loads,
    ) -> T:
        """Returns what the chief made, to all.

        Args:
            make: Called by the chief alone.
            dump: Makes bytes of it; by default of JSON values.
            load: Makes it of bytes.

        Raises:
            ValueError: If `make` raised in the chief, which raises its error itself.
        """
        if self.count == 1:
            return make()
        sent, value, error = b"", None, None
        if self.is_chief:
            try:
                value = make()
                sent = _VALUE + dump(value)
            except Exception as raised:
                error = raised
                sent = _USAGE if isinstance(raised, UsageError) else _ERROR
                sent += str(raised).encode()
        received = self._bytes_from_chief(sent)
        if error is not None:
            raise error
        if received[:1] == _VALUE:
            return load(received[1:]) if value is None else value
        kind = UsageError if received[:1] == _USAGE else ValueError
        raise kind(received[1:].decode())

    def _bytes_from_chief(self, data: bytes) -> bytes:
        words = np.zeros(0, np.int32)
        if self.is_chief:
            padded = data + bytes(-len(data) % 4)
            words = np.frombuffer(padded, np.int32)
        length = self.gather(np.array([len(data)], np.int32))[0]
        return self.gather(words).tobytes()[:length]

    def agree(self, number: int, flag: bool) -> tuple[int, bool]:
        """Returns the chief's number, and whether the flag is set anywhere."""
        if self.count == 1:
            return number, flag
        said = self.gather(np.array([[number, flag]], np.int32))
        return int(said[0, 0]), bool(said[:, 1].any())

    def check_same(self, text: str, what: str) -> None:
        """Checks that all processes have the same.

        Args:
            text: What this one has.
            what: What it is, for the message.

        Raises:
            ValueError: If another one has something else.
        """
        said = self.gather(np.frombuffer(text.encode(), np.uint8).astype(np.int32))
        parts = said.reshape(self.count, -1) if not len(said) % self.count else None
        if parts is None or np.any(parts != parts[0]):
            raise ValueError(
                f"The workers have not the same {what}. Give all of them the same "
                "command, code and data."
            )


@contextlib.contextmanager
def explained_loss(workers: Workers) -> Iterator[None]:
    """Says what to do where another process is gone.

    Raises:
        ValueError: In the place of TensorFlow's error.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        if workers.count == 1:
            raise
        raise ValueError(
            f"Worker {workers.index} of {workers.count} has lost another one, whose "
            "own output says why. Start all of them again with the same command: the "
            f"run goes on from its last checkpoint. ({first_line(error)})"
        ) from error


@functools.cache
def _exchange_of(strategy: tf.distribute.Strategy, dtype: str, length: int) -> Any:
    """Returns what gathers messages of one kind; traced once in a process."""
    del dtype, length

    def gather(value: Any) -> Any:
        context = tf.distribute.get_replica_context()
        # A value from outside lies on no device yet.
        return context.all_gather(tf.identity(value), axis=0)

    return tf.function(lambda value: strategy.run(gather, (value,)))


def _filled(values: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Returns values with zeros behind them."""
    return np.concatenate([values, np.zeros(length - len(values), values.dtype)])
