"""What gRPC and REST both tell of a model, as TensorFlow Serving's messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from tensorflow.core.protobuf import error_codes_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from dce_tf.serving.model.servable import Servable
from dce_tf.serving.model.versions import VersionStatus

SIGNATURES = "signature_def"
_State = get_model_status_pb2.ModelVersionStatus.State


def status_response(statuses: Iterable[VersionStatus]) -> Any:
    """Returns a `GetModelStatusResponse`."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        proto = response.model_version_status.add()
        proto.version = status.version
        proto.state = _State.Value(status.state)
        if status.failure is not None:
            proto.status.error_code = error_codes_pb2.Code.Value(status.failure.code)
            proto.status.error_message = status.failure.message
        else:
            proto.status.error_code = error_codes_pb2.OK
    return response


def metadata_response(name: str, servable: Servable) -> Any:
    """Returns a `GetModelMetadataResponse` with all signatures."""
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = servable.version
    response.metadata[SIGNATURES].Pack(_signatures(servable))
    return response


def status_json(statuses: Iterable[VersionStatus]) -> bytes:
    """Returns the status as REST has it."""
    return _to_json(status_response(statuses)).encode()


def metadata_json(name: str, servable: Servable) -> bytes:
    """Returns the signatures as REST has them: without the `Any` around."""
    spec = _to_json(metadata_response(name, servable).model_spec, keep_names=True)
    signatures = _to_json(_signatures(servable), keep_names=True)
    metadata = f'{{"signature_def": {signatures}\n}}'
    return f'{{\n"model_spec":{spec}\n,\n"metadata": {metadata}\n}}\n'.encode()


def _signatures(servable: Servable) -> Any:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in servable.definitions.items():
        signatures.signature_def[name].CopyFrom(definition)
    return signatures


def _to_json(message: Any, *, keep_names: bool = False) -> str:
    text: str = json_format.MessageToJson(
        message,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=keep_names,
        indent=1,
    )
    return text
