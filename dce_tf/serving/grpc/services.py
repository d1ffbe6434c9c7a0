"""TensorFlow Serving's gRPC services, with its messages, before the same batcher."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.grpc.calls import Call, Method
from dce_tf.serving.grpc.tensors import check_inputs, read_inputs, wanted_outputs
from dce_tf.serving.http.examples import refuse_signature, refuse_tasks
from dce_tf.serving.limits import Limits
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.messages import SIGNATURES, metadata_response, status_response
from dce_tf.serving.model.model_config import read_config
from dce_tf.serving.model.parts import Part
from dce_tf.serving.model.predictor import Predictor, join
from dce_tf.serving.model.servable import DEFAULT_SIGNATURE, Servable
from dce_tf.serving.model.versions import Versions
from dce_tf.serving.reading import SHORT_BYTES, Readers


class PredictionService:
    """Answers `Predict` and `GetModelMetadata`; refuses what is for `tf.Example`s.

    Args:
        predictor: Asks the model.
        metrics: Told of every call to the model there is.
        limits: What a call may take.
        readers: Read tensors and write them.

    Attributes:
        methods: What it can do, by name.
    """

    def __init__(
        self, predictor: Predictor, metrics: Metrics, limits: Limits, readers: Readers
    ) -> None:
        self._predictor = predictor
        self._versions = predictor.versions
        self._metrics = metrics
        self._limits = limits
        self._readers = readers
        self.methods = {
            "Predict": Method(predict_pb2.PredictRequest, self.predict, is_large=True),
            "GetModelMetadata": Method(
                get_model_metadata_pb2.GetModelMetadataRequest, self.metadata
            ),
            "Classify": Method(
                classification_pb2.ClassificationRequest, self.refuse_classify
            ),
            "Regress": Method(regression_pb2.RegressionRequest, self.refuse_regress),
            "MultiInference": Method(
                inference_pb2.MultiInferenceRequest, self.refuse_tasks
            ),
        }

    async def predict(self, call: Call) -> predict_pb2.PredictResponse:
        """Runs a signature."""
        with self._counting("Predict", call.request):
            return await self._predict(call)

    async def metadata(
        self, call: Call
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Tells the signatures."""
        request = call.request
        _check_spec(request)
        if not request.metadata_field:
            raise invalid(
                "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for field in request.metadata_field:
            if field != SIGNATURES:
                raise invalid(f"Metadata field {field} is not supported")
        servable = _servable(self._versions, request.model_spec)
        return metadata_response(request.model_spec.name, servable)

    async def refuse_classify(self, call: Call) -> None:
        """Refuses `Classify`."""
        with self._counting("Classify", call.request):
            self._refuse("classify", call.request)

    async def refuse_regress(self, call: Call) -> None:
        """Refuses `Regress`."""
        with self._counting("Regress", call.request):
            self._refuse("regress", call.request)

    async def refuse_tasks(self, call: Call) -> None:
        """Refuses `MultiInference`."""
        tasks = list(call.request.tasks)
        if not tasks:
            raise _no_name()
        raise refuse_tasks(tasks, _servable(self._versions, tasks[0].model_spec))

    @contextlib.contextmanager
    def _counting(self, api: str, request: Any) -> Iterator[None]:
        name, started, code = request.model_spec.name, time.perf_counter(), "INTERNAL"
        try:
            yield
            code = "OK"
        except ServingError as error:
            code = error.code
            raise
        finally:
            if name in ("", self._versions.name):
                seconds = time.perf_counter() - started
                self._metrics.record_request(name, api, "GRPC", code, seconds)

    def _refuse(self, action: str, request: Any) -> None:
        _check_spec(request)
        servable = _servable(self._versions, request.model_spec)
        raise refuse_signature(action, servable, request.model_spec.signature_name)

    async def _predict(self, call: Call) -> predict_pb2.PredictResponse:
        request, deadline = call.request, call.deadline
        _check_spec(request)
        servable = _servable(self._versions, request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = servable.signature(name)
        if signature is None:
            raise ServingError(
                "FAILED_PRECONDITION", f'Serving signature key "{name}" not found.'
            )

        size = check_inputs(request.inputs, signature, self._limits.body_bytes)
        wanted = wanted_outputs(request.output_filter, signature)

        def read() -> list[Part]:
            inputs = read_inputs(request.inputs, signature)
            return self._predictor.prepare(signature, inputs)

        with call.share.lent(size):
            if call.is_short and size <= SHORT_BYTES:
                parts = read()
            else:
                parts = await deadline.wait(self._readers.run(read))
            answers = await self._predictor.run(servable, signature, parts, deadline)
        self._metrics.record_examples(
            self._versions.name, sum(part.rows for part in parts)
        )
        outputs = join(answers)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.signature_name = name
        response.model_spec.version.value = servable.version

        def write() -> None:
            for output in wanted:
                dtype = signature.outputs[output].dtype
                proto = tf.make_tensor_proto(outputs[output], dtype)
                response.outputs[output].CopyFrom(proto)

        size = sum(outputs[output].size for output in wanted)
        await self._readers.write(deadline, size, write)
        return response


class ModelService:
    """Answers `GetModelStatus` and `HandleReloadConfigRequest`.

    Args:
        versions: What is served.
        read_only: Whether nobody may change which versions these are.

    Attributes:
        methods: What it can do, by name.
    """

    def __init__(self, versions: Versions, *, read_only: bool = False) -> None:
        self._versions = versions
        self._read_only = read_only
        self.methods = {
            "GetModelStatus": Method(
                get_model_status_pb2.GetModelStatusRequest, self.status
            ),
            "HandleReloadConfigRequest": Method(
                model_management_pb2.ReloadConfigRequest, self.reload
            ),
        }

    async def status(self, call: Call) -> get_model_status_pb2.GetModelStatusResponse:
        """Tells how the versions stand."""
        _check_spec(call.request)
        spec = call.request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        return status_response(self._versions.statuses(spec.name, version))

    async def reload(self, call: Call) -> model_management_pb2.ReloadConfigResponse:
        """Serves other versions, under other labels, however long loading takes."""
        if self._read_only:
            raise ServingError(
                "PERMISSION_DENIED",
                "This server was started with --read_only: nobody may change what "
                "it serves.",
            )
        folder = self._versions.available()[0].folder.parent
        policy, labels = read_config(call.request.config, self._versions.name, folder)
        await asyncio.to_thread(self._versions.configure, policy, labels)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


def _servable(versions: Versions, spec: Any) -> Servable:
    if not spec.name:
        raise _no_name()
    version = spec.version.value if spec.HasField("version") else None
    label = spec.version_label if spec.HasField("version_label") else None
    return versions.servable(spec.name, version, label)


def _no_name() -> ServingError:
    return invalid("ModelSpec has no name specified.")
