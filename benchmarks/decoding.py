"""Our decoder in a process of its own, which a file may crash."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_END_SECONDS = 10


class RefusedError(Exception):
    """The decoder said that it does not take a file."""


class CrashedError(Exception):
    """The process ended while it decoded."""


class DecodingProcess:
    """Decodes files one by one, each sent to a child process.

    A crash ends the child alone: the next file is sent to a new one.

    Args:
        decoder: `"module:function"`, from a scalar string tensor to pixels.
    """

    def __init__(self, decoder: str = "dce_tf.images.preprocessing:decode") -> None:
        self._decoder = decoder
        self._context = multiprocessing.get_context("spawn")
        self._child: Any = None
        self._pipe: Connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None:
            self._pipe.close()
            self._child.join(_END_SECONDS)
            self._child.kill()

    def decode(self, data: bytes) -> Pixels:
        """Returns the pixels of an image file.

        Raises:
            RefusedError: With the decoder's message.
            CrashedError: If the process ended.
        """
        if self._child is None:
            self._start()
        try:
            self._pipe.send_bytes(data)
            answer: Pixels | str = self._pipe.recv()
        except (EOFError, OSError):
            self._child.join()
            code, self._child = self._child.exitcode, None
            raise CrashedError(_name_of_end(code)) from None
        if isinstance(answer, str):
            raise RefusedError(answer)
        return answer

    def _start(self) -> None:
        self._pipe, far_end = self._context.Pipe()
        self._child = self._context.Process(
            target=_serve, args=(far_end, self._decoder), daemon=True
        )
        self._child.start()
        far_end.close()


def decode_all(files: Sequence[bytes]) -> Iterator[Pixels | Exception]:
    """Yields the pixels of each file, or what decoding it raised."""
    with DecodingProcess() as process:
        for data in files:
            try:
                yield process.decode(data)
            except (RefusedError, CrashedError) as error:
                yield error


def _name_of_end(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(pipe: Connection, decoder: str) -> None:
    import tensorflow as tf

    from dce_tf.images.scan import what_is_wrong

    module, _, name = decoder.partition(":")
    decode = tf.function(
        getattr(importlib.import_module(module), name),
        input_signature=[tf.TensorSpec((), tf.string)],
        autograph=False,
    )
    with contextlib.suppress(EOFError):
        while True:
            data = pipe.recv_bytes()
            answer: Any
            try:
                answer = decode(tf.constant(data)).numpy()
            except tf.errors.OpError as error:
                answer = what_is_wrong(error)
            pipe.send(answer)
