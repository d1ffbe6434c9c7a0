"""Receives the message of a call and sends its answer, within the limits of HTTP."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.grpc.message_size import measure_request, measure_small
from dce_tf.serving.limits import Deadline, Limits
from dce_tf.serving.memory import MemoryBudget, Share
from dce_tf.serving.reading import Readers

_LOG = logging.getLogger(__name__)
_LONGEST_TEXT = 1024  # Characters of an error; more may not fit into a header.


@dataclasses.dataclass(frozen=True)
class Call:
    """A message that was received.

    Attributes:
        request: What it asks.
        deadline: When the answer must be there.
        share: The memory of the call.
        is_short: Whether it is read at once, without a thread.
    """

    request: Any
    deadline: Deadline
    share: Share
    is_short: bool


Answer = Callable[[Call], Awaitable[Any]]


@dataclasses.dataclass(frozen=True)
class Method:
    """What a service can do.

    Attributes:
        request: Type of the message.
        answer: Returns the answer.
        is_large: Whether the message may hold tensors, so that it may be long.
    """

    request: type[Message]
    answer: Answer
    is_large: bool = False


class Calls:
    """Makes handlers of methods, each of one message and one answer.

    For gRPC they are streams, as it would otherwise wait for the message itself, with
    no limit of time, and keep the answer, uncounted, until the client takes it.

    Args:
        limits: What a call may take.
        budget: The memory of all requests, those over HTTP too.
        readers: Read messages and write answers.
    """

    def __init__(
        self,
        limits: Limits,
        budget: MemoryBudget,
        readers: Readers,
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._readers = readers

    def handler(self, method: Method) -> grpc.RpcMethodHandler:
        """Returns what gRPC calls."""

        async def handle(_: Any, context: Any) -> None:
            share = Share(self._budget)
            try:
                answer = await self._answer(method, context, share)
                # Until the client has taken it, or its connection ends.
                await context.write(answer)
            except ServingError as error:
                text = error.message
                if len(text) > _LONGEST_TEXT:
                    text = f"{text[:_LONGEST_TEXT]}...TRUNCATED"
                await context.abort(grpc.StatusCode[error.code], text)
            except Exception:
                _LOG.exception("A call could not be answered.")
                text = "The server failed; its log has why."
                await context.abort(grpc.StatusCode.INTERNAL, text)
            finally:
                share.give_back()

        return grpc.stream_stream_rpc_method_handler(handle)

    async def _answer(self, method: Method, context: Any, share: Share) -> bytes:
        data = await self._receive(context)
        share.take(len(data))
        _check_length(data, method, self._limits)
        remaining = context.time_remaining()
        seconds = self._limits.answer_seconds
        deadline = Deadline(seconds if remaining is None else min(seconds, remaining))
        measure = measure_request if method.is_large else measure_small
        received = await self._readers.measure(data, measure, share, deadline)
        del data
        request = await self._readers.read(received, _parse, method, received.text)
        size = received.size
        call = Call(request, deadline, share, received.is_short)
        del received, request
        with share.lent(size.read_bytes):
            share.give_back(size.length)  # The bytes of the message are kept no more.
            answer = await method.answer(call)
            sent: bytes = answer.SerializeToString()
        share.take(len(sent))
        return sent

    async def _receive(self, context: Any) -> bytes:
        seconds = self._limits.body_seconds
        try:
            data = await asyncio.wait_for(context.read(), seconds)
        except TimeoutError:
            raise ServingError(
                "DEADLINE_EXCEEDED",
                f"The request was not here within {seconds:g} seconds.",
            ) from None
        if data is grpc.aio.EOF:
            raise invalid("The call has no message.")
        return bytes(data)


def _check_length(data: bytes, method: Method, limits: Limits) -> None:
    # Of those that may be long, gRPC itself takes none that is longer.
    if not method.is_large and len(data) > limits.query_bytes:
        raise ServingError(
            "RESOURCE_EXHAUSTED",
            f"The message is larger than {limits.query_bytes:,} bytes. That is the "
            "limit of calls without tensors; send it in parts.",
        )


def _parse(method: Method, data: bytes) -> Message:
    try:
        return method.request.FromString(data)
    except DecodeError:
        raise invalid(f"The message is no {method.request.DESCRIPTOR.name}.") from None
