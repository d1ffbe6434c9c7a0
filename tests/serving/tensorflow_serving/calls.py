"""gRPC calls that are refused."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.serving.tensorflow_serving.cases import (
    CLASSIFICATION,
    CLASSIFIER,
    CORE,
    GRPC_STATUS,
    INFERENCE,
    METADATA,
    PREDICT_IMPL,
    PREDICT_UTIL,
    REGRESSION,
    REGRESSOR,
    STATUS,
)


class Call(NamedTuple):
    """A gRPC call that is refused.

    Attributes:
        source: Where TensorFlow Serving says so.
        method: What is called.
        request: The message.
        code: Of gRPC.
        details: What the client is told; all of it, or its beginning before an `…`.
    """

    source: str
    method: str
    request: Any
    code: str
    details: str


def named(message: Any, name: str, signature: str = "") -> Any:
    message.model_spec.name = name
    message.model_spec.signature_name = signature
    return message


def predict(signature: str = "", name: str = "embedder", **inputs: Any) -> Any:
    message = named(predict_pb2.PredictRequest(), name, signature)
    for key, value in inputs.items():
        message.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return message


def filtered(*outputs: str) -> Any:
    message = predict("echo", x=np.float32([1]))
    message.output_filter.extend(outputs)
    return message


def damaged(signature: str = "echo") -> Any:
    message = predict(signature, x=np.float32([1]))
    message.inputs["x"].tensor_shape.dim[0].size = -3
    return message


def of_version(message: Any, version: int) -> Any:
    message.model_spec.version.value = version
    return message


def of_label(message: Any, label: str) -> Any:
    message.model_spec.version_label = label
    return message


def metadata(*fields: str, name: str | None = "embedder") -> Any:
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    return message if name is None else named(message, name)


def tasks(*each: tuple[str, str, str]) -> Any:
    message = inference_pb2.MultiInferenceRequest()
    for name, signature, method in each:
        task = named(message.tasks.add(), name, signature)
        task.method_name = method
    return message


CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
ClassifyRequest = classification_pb2.ClassificationRequest
RegressRequest = regression_pb2.RegressionRequest
StatusRequest = get_model_status_pb2.GetModelStatusRequest
BAD, NOT_FOUND = "INVALID_ARGUMENT", "NOT_FOUND"
NO_SPEC, NO_NAME = "Missing ModelSpec", "ModelSpec has no name specified."
NO_MODEL = "Servable not found for request: Latest(foo)"

CALLS = [
    Call(PREDICT_IMPL, "Predict", predict_pb2.PredictRequest(), BAD, NO_SPEC),
    Call(CLASSIFICATION, "Classify", ClassifyRequest(), BAD, NO_SPEC),
    Call(REGRESSION, "Regress", RegressRequest(), BAD, NO_SPEC),
    Call(
        METADATA, "GetModelMetadata", metadata("signature_def", name=None), BAD, NO_SPEC
    ),
    Call(METADATA, "GetModelMetadata", metadata(name=None), BAD, NO_SPEC),
    Call(STATUS, "GetModelStatus", StatusRequest(), BAD, NO_SPEC),
    Call(CORE, "Predict", predict("x", name=""), BAD, NO_NAME),
    Call(CORE, "Classify", named(ClassifyRequest(), "", "x"), BAD, NO_NAME),
    Call(CORE, "Regress", named(RegressRequest(), "", "x"), BAD, NO_NAME),
    Call(CORE, "GetModelMetadata", metadata("signature_def", name=""), BAD, NO_NAME),
    Call(CORE, "MultiInference", tasks(), BAD, NO_NAME),
    Call(CORE, "MultiInference", tasks(("", "", CLASSIFY)), BAD, NO_NAME),
    Call(
        STATUS,
        "GetModelStatus",
        named(StatusRequest(), ""),
        NOT_FOUND,
        "Could not find any versions of model ",
    ),
    Call(
        STATUS,
        "GetModelStatus",
        named(StatusRequest(), "foo"),
        NOT_FOUND,
        "Could not find any versions of model foo",
    ),
    Call(
        STATUS,
        "GetModelStatus",
        of_version(named(StatusRequest(), "embedder"), 7),
        NOT_FOUND,
        "Could not find version 7 of model embedder",
    ),
    Call(CORE, "Predict", predict(name="foo", x=[1.0]), NOT_FOUND, NO_MODEL),
    Call(CORE, "Classify", named(ClassifyRequest(), "foo"), NOT_FOUND, NO_MODEL),
    Call(CORE, "Regress", named(RegressRequest(), "foo"), NOT_FOUND, NO_MODEL),
    Call(
        CORE,
        "GetModelMetadata",
        metadata("signature_def", name="foo"),
        NOT_FOUND,
        NO_MODEL,
    ),
    Call(CORE, "MultiInference", tasks(("foo", "", CLASSIFY)), NOT_FOUND, NO_MODEL),
    Call(
        CORE,
        "Predict",
        of_version(predict(x=[1.0]), 7),
        NOT_FOUND,
        "Servable not found for request: Specific(embedder, 7)",
    ),
    Call(
        CORE,
        "Predict",
        of_version(predict(x=[1.0]), -1),
        NOT_FOUND,
        "Servable not found for request: Specific(embedder, -1)",
    ),
    Call(
        CORE,
        "Predict",
        of_label(predict(x=[1.0]), "nope"),
        BAD,
        "Unrecognized servable version label: nope",
    ),
    Call(
        CORE,
        "Predict",
        of_label(predict(x=[1.0]), ""),
        BAD,
        "Unrecognized servable version label: ",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict("nope", x=[1.0]),
        "FAILED_PRECONDITION",
        'Serving signature key "nope" not found.',
    ),
    Call(
        GRPC_STATUS,
        "Predict",
        predict("n" * 2000, x=[1.0]),
        "FAILED_PRECONDITION",
        f'Serving signature key "{"n" * 1001}...TRUNCATED',
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict(),
        BAD,
        "input size does not match signature: 0!=1 len({}) != len({image_bytes}). "
        "Sent extra: {}. Missing but required: {image_bytes}.",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict(image_bytes=["x"], z=["x"]),
        BAD,
        "input size does not match signature: 2!=1 len({image_bytes,z}) != "
        "len({image_bytes}). Sent extra: {z}. Missing but required: {}.",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        predict(z=["x"]),
        BAD,
        "input tensor alias not found in signature: z. Inputs expected to be in the "
        "set {image_bytes}.",
    ),
    Call(PREDICT_UTIL, "Predict", damaged(), BAD, "tensor parsing error: x"),
    Call(
        PREDICT_UTIL,
        "Predict",
        filtered("y", "y"),
        BAD,
        "duplicate output tensor alias: y",
    ),
    Call(
        PREDICT_UTIL,
        "Predict",
        filtered("z"),
        BAD,
        "output tensor alias not found in signature: z Outputs expected to be in the "
        "set {version,y}.",
    ),
    Call(
        METADATA,
        "GetModelMetadata",
        metadata(),
        BAD,
        "GetModelMetadataRequest must specify at least one metadata_field",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder", "nope"),
        BAD,
        "No signature was found with the name: nope",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder"),
        BAD,
        "No classification inputs found in SignatureDef: inputs {…",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder", "mixed"),
        BAD,
        "Expected one input Tensor.",
    ),
    Call(
        CLASSIFIER,
        "Classify",
        named(ClassifyRequest(), "embedder", "examples"),
        BAD,
        "Expected classification signature outputs to contain at least one of "
        '"classes" or "scores". Signature was: inputs {…',
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder", "nope"),
        BAD,
        "No signature was found with the name: nope",
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder"),
        BAD,
        "No regression inputs found in SignatureDef: inputs {…",
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder", "echo"),
        BAD,
        "Expected one output Tensor.",
    ),
    Call(
        REGRESSOR,
        "Regress",
        named(RegressRequest(), "embedder", "examples"),
        BAD,
        "No regression outputs found in SignatureDef: inputs {…",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "nope", CLASSIFY)),
        BAD,
        "Requested signature not found in model graph: nope",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "", "tensorflow/serving/predict")),
        "UNIMPLEMENTED",
        "Unsupported signature method_name: tensorflow/serving/predict",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "mixed", REGRESS)),
        BAD,
        "Expected one input Tensor.",
    ),
    Call(
        INFERENCE,
        "MultiInference",
        tasks(("embedder", "", CLASSIFY), ("embedder", "", REGRESS)),
        BAD,
        "No classification inputs found in SignatureDef: inputs {…",
    ),
]
