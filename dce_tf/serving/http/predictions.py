"""What the body of a request to a model asks for."""

from __future__ import annotations

import dataclasses
from typing import Any

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.json_tensors import read_columns, read_rows
from dce_tf.serving.http.json_text import parse, show
from dce_tf.serving.http.paths import ModelPath
from dce_tf.serving.http.raw_images import RawImages
from dce_tf.serving.model.parts import Part
from dce_tf.serving.model.predictor import Predictor
from dce_tf.serving.model.servable import DEFAULT_SIGNATURE, Servable
from dce_tf.serving.model.signatures import Arrays, Signature, to_bytes_array

_OPTION = "signature_name"


@dataclasses.dataclass(frozen=True)
class Prediction:
    """A request to `predict` that can be run.

    Attributes:
        servable: The version asked.
        signature: Its function.
        parts: What to run; each part is answered for itself.
        by_column: Whether the answer is to be in column form.
        errors: For a request that wants an error an item, those of items that could
            not be read, by their number; None for any other request.
    """

    servable: Servable
    signature: Signature
    parts: list[Part]
    by_column: bool = False
    errors: dict[int, ServingError] | None = None


def read_prediction(
    path: ModelPath,
    body: bytes | RawImages,
    predictor: Predictor,
    *,
    per_item: bool = False,
) -> Prediction:
    """Reads a request to `predict`.

    Args:
        path: Which model it is for.
        body: JSON, or encoded images as they are, each of which is an example.
        predictor: Finds the model, and checks the tensors.
        per_item: Whether items of `instances`, or images, may fail one by one.

    Raises:
        ServingError: If it cannot be answered; checked in TensorFlow Serving's order.
    """
    document = _options(body) if isinstance(body, RawImages) else read_object(body)
    name = signature_name(document)
    servable = predictor.versions.servable(path.name, path.version, path.label)
    signature = servable.signature(name)
    if signature is None:
        raise invalid(
            f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in '
            "signature def"
        )
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if isinstance(body, RawImages):
        return _read_images(body.images, servable, signature, predictor, each=per_item)
    if "inputs" in document and "instances" in document:
        raise format_error(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist ",
        )
    if "inputs" in document:
        inputs = read_columns(document["inputs"], signature.inputs)
        parts = predictor.prepare(signature, inputs)
        return Prediction(servable, signature, parts, by_column=True)
    instances = _instances(document)
    if per_item and signature.is_batched:
        predictor.check_count(len(instances))
        parts, errors = _read_items(instances, signature, predictor)
        return Prediction(servable, signature, parts, errors=errors)
    inputs = read_rows(instances, signature.inputs)
    return Prediction(servable, signature, predictor.prepare(signature, inputs))


def _options(body: RawImages) -> dict[str, Any]:
    options = body.options((_OPTION,))
    for name in options:
        if name != _OPTION:
            raise invalid(
                f"The query string has the option {name[:40]!r}, expected only "
                f"{_OPTION!r}."
            )
    return options


def _read_images(
    images: list[bytes],
    servable: Servable,
    signature: Signature,
    predictor: Predictor,
    *,
    each: bool,
) -> Prediction:
    """Makes a request of images that came as they are."""
    name, spec = next(iter(signature.inputs.items()))
    is_string = spec.dtype.name == "string" and spec.shape == (-1,)
    if len(signature.inputs) > 1 or not is_string:
        raise invalid(
            f"The signature {signature.name} takes {', '.join(signature.inputs)}, "
            "which is not one encoded image per example. Send JSON."
        )
    if not (each and signature.is_batched):
        inputs = {name: to_bytes_array(images)}
        return Prediction(servable, signature, predictor.prepare(signature, inputs))
    predictor.check_count(len(images))
    parts: list[Part] = []
    errors = {}
    for number, image in enumerate(images):
        try:
            parts += predictor.prepare(signature, {name: to_bytes_array([image])})
        except ServingError as error:
            errors[number] = error
    return Prediction(servable, signature, parts, errors=errors)


def read_object(body: bytes) -> dict[str, Any]:
    """Reads the JSON object that a request is.

    Raises:
        ServingError: If it is none.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    document = parse(body, exact=False)
    if not isinstance(document, dict):
        raise format_error(document, "Is not object")
    return document


def signature_name(document: dict[str, Any]) -> str:
    """Returns the signature that a request names; empty for the default one.

    Raises:
        ServingError: If it is no text.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise format_error(
            document,
            "not formatted correctly. 'signature_name' key must be a string value.",
        )
    return name


def format_error(document: Any, message: str) -> ServingError:
    """Returns the error of a request that lacks something, and quotes the request."""
    return invalid(f"JSON Value: {show(document)} {message}")


def _read_items(
    instances: list[Any], signature: Signature, predictor: Predictor
) -> tuple[list[Part], dict[int, ServingError]]:
    parts: list[Part] = []
    errors = {}
    for number, item in enumerate(instances):
        try:
            inputs = read_rows([item], signature.inputs, number)
            (part,) = predictor.prepare(signature, inputs)
            _check_alike(parts, inputs)
            parts.append(part)
        except ServingError as error:
            errors[number] = error
    return parts, errors


def _check_alike(parts: list[Part], inputs: Arrays) -> None:
    for name, value in inputs.items():
        if parts and parts[0].inputs[name].shape != value.shape:
            raise invalid(
                f"Expecting shape {list(parts[0].inputs[name].shape[1:])} but got: "
                f"{list(value.shape[1:])}"
            )


def _instances(document: dict[str, Any]) -> list[Any]:
    if "instances" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    instances = document["instances"]
    if not isinstance(instances, list):
        raise format_error(document, "Expecting 'instances' to be an list/array")
    if not instances:
        raise format_error(document, "No values in 'instances' array")
    return instances
