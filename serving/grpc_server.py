"""TensorFlow Serving's gRPC API, with its own stubs, before the same batcher."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hmac
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.errors import ServingError, invalid
from serving.grpc_tensors import read_inputs, wanted_outputs
from serving.guards import Limits
from serving.metrics import Metrics
from serving.predictor import Predictor, join
from serving.protos import SIGNATURES, metadata_response, status_response
from serving.requests import refuse_signature
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.signatures import Arrays
from serving.versions import Versions

_THREADS = 16
_MOST_CALLS = 256


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """`Predict` and `GetModelMetadata`; `Classify` and `Regress` are refused.

    Args:
        predictor: Asks the model.
        metrics: Told of every call to a model there is.
        limits: What a call may take.
    """

    def __init__(self, predictor: Predictor, metrics: Metrics, limits: Limits) -> None:
        self._predictor = predictor
        self._versions = predictor.versions
        self._metrics = metrics
        self._limits = limits

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Runs a signature."""
        name, started, code = request.model_spec.name, time.perf_counter(), "OK"
        try:
            return self._predict(request, context)
        except ServingError as error:
            code = error.code
            context.abort(grpc.StatusCode[code], error.message)
        finally:
            if name == self._versions.name:
                seconds = time.perf_counter() - started
                self._metrics.record_request(name, "Predict", "GRPC", code, seconds)

    def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tells the signatures."""
        with _telling(context):
            if not request.metadata_field:
                raise invalid(
                    "GetModelMetadataRequest must specify at least one metadata_field"
                )
            for field in request.metadata_field:
                if field != SIGNATURES:
                    raise invalid(f"Metadata field {field} is not supported")
            servable = _servable(self._versions, request.model_spec)
            return metadata_response(request.model_spec.name, servable)

    def Classify(self, request: Any, context: Any) -> None:  # noqa: N802
        """Refuses."""
        self._refuse("classify", request, context)

    def Regress(self, request: Any, context: Any) -> None:  # noqa: N802
        """Refuses."""
        self._refuse("regress", request, context)

    def _refuse(self, action: str, request: Any, context: Any) -> None:
        with _telling(context):
            servable = _servable(self._versions, request.model_spec)
            raise refuse_signature(action, servable, request.model_spec.signature_name)

    def _predict(self, request: Any, context: Any) -> Any:
        servable = _servable(self._versions, request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature(name)
        if signature is None:
            raise ServingError(
                "FAILED_PRECONDITION", f'Serving signature key "{name}" not found.'
            )
        inputs = read_inputs(request.inputs, signature, self._limits.body_bytes)
        wanted = wanted_outputs(request.output_filter, signature)
        self._predictor.check(signature, inputs)
        answers = self._predictor.submit(
            servable, signature, self._predictor.cut(signature, inputs)
        )
        outputs = join(_wait(answers, self._limits.answer_seconds, context))
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = name
        response.model_spec.version.value = servable.version
        for output in wanted:
            proto = tf.make_tensor_proto(
                outputs[output], signature.outputs[output].dtype
            )
            response.outputs[output].CopyFrom(proto)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """`GetModelStatus`.

    Args:
        versions: What is served.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tells how the versions stand."""
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        with _telling(context):
            return status_response(self._versions.statuses(spec.name, version))


class TokenInterceptor(grpc.ServerInterceptor):
    """Lets in only who has the token.

    Args:
        token: What the metadata must carry as `authorization: Bearer …`.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse_token)

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Passes a call on, or refuses it."""
        given = dict(details.invocation_metadata).get("authorization", "")
        if hmac.compare_digest(str(given).encode(), self._expected):
            return continuation(details)
        return self._refusal


def _refuse_token(_: Any, context: Any) -> None:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "The call has no valid token.")


def start_grpc(
    predictor: Predictor,
    metrics: Metrics,
    limits: Limits,
    address: str,
    *,
    token: str | None = None,
    tls: tuple[Path, Path] | None = None,
) -> tuple[Any, int]:
    """Starts a server in threads of its own.

    Args:
        predictor: Asks the model.
        metrics: Told of calls.
        limits: What a call may take.
        address: Where to listen, as `HOST:PORT`; port 0 takes a free one.
        token: What calls must carry.
        tls: Files of certificate and key.

    Returns:
        The server, to be stopped, and its port.

    Raises:
        ValueError: If the port is taken.
    """
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(_THREADS),
        interceptors=[] if token is None else [TokenInterceptor(token)],
        options=[
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.so_reuseport", 0),  # Or two servers would share a port unnoticed.
        ],
        maximum_concurrent_rpcs=_MOST_CALLS,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(predictor, metrics, limits), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelService(predictor.versions), server
    )
    try:
        if tls is None:
            port = server.add_insecure_port(address)
        else:
            certificate, key = (path.read_bytes() for path in tls)
            credentials = grpc.ssl_server_credentials([(key, certificate)])
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise ValueError(
            f"gRPC cannot listen at {address}: {error}. Choose another --grpc_port."
        ) from error
    server.start()
    return server, port


@contextlib.contextmanager
def _telling(context: Any) -> Iterator[None]:
    try:
        yield
    except ServingError as error:
        context.abort(grpc.StatusCode[error.code], error.message)


def _servable(versions: Versions, spec: Any) -> Servable:
    version = spec.version.value if spec.HasField("version") else None
    return versions.servable(spec.name, version, spec.version_label or None)


def _wait(answers: Any, seconds: float, context: Any) -> list[Arrays]:
    remaining = context.time_remaining()
    seconds = seconds if remaining is None else min(seconds, remaining)
    late = concurrent.futures.wait(answers, seconds).not_done
    for answer in late:
        answer.cancel()
    if late:
        raise ServingError(
            "DEADLINE_EXCEEDED", f"There was no answer within {seconds:g} seconds."
        )
    return [answer.result() for answer in answers]
