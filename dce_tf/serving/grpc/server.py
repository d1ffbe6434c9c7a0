"""The gRPC server: TensorFlow Serving's services and the standard one of health."""

from __future__ import annotations

import asyncio
import hmac
import threading
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from dce_tf.serving.grpc.calls import Calls
from dce_tf.serving.grpc.observing import ObservingInterceptor
from dce_tf.serving.grpc.services import ModelService, PredictionService
from dce_tf.serving.memory import MemoryBudget
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.predictor import Predictor
from dce_tf.serving.observing.tracing import Tracing
from dce_tf.serving.reading import Readers

_MOST_CALLS = 256
_HEALTH = f"/{health.SERVICE_NAME}/"
_PREDICTION = "tensorflow.serving.PredictionService"
_MODEL = "tensorflow.serving.ModelService"


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Lets in only who has the token; anybody may ask for health.

    Args:
        token: What the metadata must carry as `authorization: Bearer …`.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        # As a stream it is refused before its message is here.
        self._refusal = grpc.stream_stream_rpc_method_handler(_refuse_token)

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Passes a call on, or refuses it."""
        given = dict(details.invocation_metadata).get("authorization", "")
        fits = hmac.compare_digest(str(given).encode(), self._expected)
        if fits or details.method.startswith(_HEALTH):
            return await continuation(details)
        return self._refusal


async def _refuse_token(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "The call has no valid token.")


class GrpcServer:
    """A server in a thread of its own.

    Args:
        predictor: Asks the model.
        metrics: Told of calls.
        budget: The memory of all requests, and what each may take.
        readers: Read messages and write answers.
        address: Where to listen, as `HOST:PORT`; port 0 takes a free one.
        token: What calls must carry.
        tls: Files of certificate and key.
        read_only: Whether nobody may change which versions are served.
        tracing: Makes the traces, or None for none.
        connection_seconds: How long a connection takes calls; clients open another by
            themselves. An answer that nobody takes is kept until its connection ends.

    Attributes:
        port: Where it listens.

    Raises:
        ValueError: If the port is taken.
    """

    def __init__(
        self,
        predictor: Predictor,
        metrics: Metrics,
        budget: MemoryBudget,
        readers: Readers,
        address: str,
        *,
        token: str | None = None,
        tls: tuple[Path, Path] | None = None,
        read_only: bool = False,
        tracing: Tracing | None = None,
        connection_seconds: float = 120.0,
    ) -> None:
        limits = budget.limits
        calls = Calls(limits, budget, readers)
        services: dict[str, PredictionService | ModelService] = {
            _PREDICTION: PredictionService(predictor, metrics, limits, readers),
            _MODEL: ModelService(predictor.versions, read_only=read_only),
        }
        handlers = [
            grpc.method_handlers_generic_handler(
                name,
                {key: calls.handler(each) for key, each in service.methods.items()},
            )
            for name, service in services.items()
        ]
        grace = limits.body_seconds + limits.answer_seconds
        options = [
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.so_reuseport", 0),  # Or two servers would share a port.
            ("grpc.max_connection_age_ms", int(1000 * connection_seconds)),
            ("grpc.max_connection_age_grace_ms", int(1000 * grace)),
        ]
        interceptors: list[grpc.aio.ServerInterceptor] = [ObservingInterceptor(tracing)]
        if token is not None:
            interceptors.append(TokenInterceptor(token))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="grpc", daemon=True
        )
        self._thread.start()
        self._health = health.aio.HealthServicer()
        try:
            self.port = self._await(
                self._start(handlers, interceptors, options, address, tls)
            )
        except BaseException:
            self._end()
            raise

    async def _start(
        self,
        handlers: list[grpc.GenericRpcHandler],
        interceptors: list[Any],
        options: list[tuple[str, int]],
        address: str,
        tls: tuple[Path, Path] | None,
    ) -> int:
        self._server = grpc.aio.server(
            interceptors=interceptors,
            options=options,
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        self._server.add_generic_rpc_handlers(tuple(handlers))
        for name in ("", _PREDICTION, _MODEL):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        port = _listen(self._server, address, tls)
        await self._server.start()
        return port

    def drain(self) -> None:
        """Says from now on that it does not serve, while it still does."""
        self._submit(self._health.enter_graceful_shutdown())

    def stop(self, seconds: float) -> None:
        """Takes no more calls, and waits up to `seconds` for those under way."""
        self.drain()
        self._await(self._server.stop(seconds))
        self._end()

    def _submit(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _await(self, work: Any) -> Any:
        return self._submit(work).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _listen(server: Any, address: str, tls: tuple[Path, Path] | None) -> int:
    try:
        if tls is None:
            return int(server.add_insecure_port(address))
        certificate, key = (path.read_bytes() for path in tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise ValueError(
            f"gRPC cannot listen at {address}: {error}. Choose another --grpc_port."
        ) from error
