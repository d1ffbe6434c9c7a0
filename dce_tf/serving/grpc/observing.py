"""Names, times, logs and traces every call over gRPC, those that are refused too."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from dce_tf.serving.observing.logs import Answered, log_request
from dce_tf.serving.observing.request_ids import HEADER, take_request_id
from dce_tf.serving.observing.tracing import Tracing

_OWN_FAULTS = ("INTERNAL", "UNKNOWN", "DATA_LOSS")


class ObservingInterceptor(grpc.aio.ServerInterceptor):
    """Stands before all else. `Watch` of health, which goes on for ever, passes unseen.

    Args:
        tracing: Makes the traces, or None for none.
    """

    def __init__(self, tracing: Tracing | None = None) -> None:
        self._tracing = tracing

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Puts what observes around the handler of a call."""
        handler = await continuation(details)
        if handler is None or (handler.unary_unary or handler.stream_stream) is None:
            return handler
        metadata = {
            key: value
            for key, value in details.invocation_metadata
            if isinstance(value, str)
        }
        inner = handler.unary_unary or handler.stream_stream

        async def answer(request: Any, context: Any) -> Any:
            async with self._observed(details.method, metadata, context):
                return await inner(request, context)

        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.unary_unary is None
            else grpc.unary_unary_rpc_method_handler
        )
        return make(answer, handler.request_deserializer, handler.response_serializer)

    @contextlib.asynccontextmanager
    async def _observed(
        self, method: str, metadata: dict[str, str], context: Any
    ) -> AsyncIterator[None]:
        name, started = take_request_id(metadata.get(HEADER)), time.perf_counter()
        await context.send_initial_metadata(((HEADER, name),))
        status = "UNKNOWN"
        with self._span(method, metadata, context, name) as span:
            try:
                yield
                status = "OK"
            except asyncio.CancelledError:
                status = "CANCELLED"
                raise
            except Exception:
                # After `abort`, which raises, the code is there.
                code = context.code()
                status = "UNKNOWN" if code is None else code.name
                raise
            finally:
                if self._tracing is not None:
                    span.set_attribute("rpc.response.status_code", status)
                    if status in _OWN_FAULTS:
                        self._tracing.blame(span)
                log_request(
                    Answered(
                        request_id=name,
                        protocol="grpc",
                        client=context.peer(),
                        method="POST",
                        route=method,
                        path=method,
                        status=status,
                        ms=round(1e3 * (time.perf_counter() - started), 1),
                        is_failure=status in _OWN_FAULTS,
                    )
                )

    def _span(
        self, method: str, metadata: dict[str, str], context: Any, name: str
    ) -> Any:
        if self._tracing is None:
            return contextlib.nullcontext()
        return self._tracing.follow(
            method.removeprefix("/"),
            metadata,
            rpc__system__name="grpc",
            rpc__method=method.removeprefix("/"),
            client__address=context.peer(),
            dce_tf__request_id=name,
        )
