"""What the body of a request to a model asks for."""

from __future__ import annotations

import dataclasses
from typing import Any

from serving.errors import ServingError, invalid
from serving.json_text import parse, show
from serving.paths import ModelPath
from serving.predictor import Predictor
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.signatures import Arrays, Signature
from serving.tensors import read_columns, read_rows
from serving.versions import Versions


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
    parts: list[Arrays]
    by_column: bool = False
    errors: dict[int, ServingError] | None = None


def read_prediction(
    path: ModelPath, body: bytes, predictor: Predictor, *, per_item: bool = False
) -> Prediction:
    """Reads a request to `predict`.

    Args:
        path: Which model it is for.
        body: JSON.
        predictor: Finds the model, and checks the tensors.
        per_item: Whether items of `instances` may fail one by one.

    Raises:
        ServingError: If it cannot be answered; checked in TensorFlow Serving's order.
    """
    document = _read_object(body)
    name = _signature_name(document)
    servable = predictor.versions.servable(path.name, path.version, path.label)
    signature = servable.signature(name)
    if signature is None:
        raise invalid(
            f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in '
            "signature def"
        )
    if not signature.inputs:
        raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "inputs" in document and "instances" in document:
        raise _format_error(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist ",
        )
    if "inputs" in document:
        inputs = read_columns(document["inputs"], signature.inputs)
        predictor.check(signature, inputs)
        return Prediction(servable, signature, predictor.cut(signature, inputs), True)
    instances = _instances(document)
    if per_item and signature.is_batched:
        parts, errors = _read_items(instances, signature, predictor)
        return Prediction(servable, signature, parts, errors=errors)
    inputs = read_rows(instances, signature.inputs)
    predictor.check(signature, inputs)
    return Prediction(servable, signature, predictor.cut(signature, inputs))


def refuse_examples(
    action: str, path: ModelPath, body: bytes, versions: Versions
) -> ServingError:
    """Returns why a request to `classify` or `regress` cannot be answered.

    The models served here have no signatures for them.
    """
    try:
        document = _read_object(body)
        name = _signature_name(document) or DEFAULT_SIGNATURE
        _check_examples(document)
        servable = versions.servable(path.name, path.version, path.label)
    except ServingError as error:
        return error
    return refuse_signature(action, servable, name)


def refuse_signature(action: str, servable: Servable, name: str) -> ServingError:
    """Returns why a signature cannot be called by `classify` or `regress`."""
    signature = servable.signature(name)
    if signature is None:
        return invalid(f"No signature was found with the name: {name}")
    kind = {"classify": "classification", "regress": "regression"}[action]
    return invalid(
        f"Expected {kind} signature method_name to be tensorflow/serving/{action}. "
        f"Was: {signature.method}"
    )


def _read_items(
    instances: list[Any], signature: Signature, predictor: Predictor
) -> tuple[list[Arrays], dict[int, ServingError]]:
    parts: list[Arrays] = []
    errors = {}
    for number, item in enumerate(instances):
        try:
            inputs = read_rows([item], signature.inputs, number)
            predictor.check(signature, inputs)
            _check_alike(parts, inputs)
            parts.append(inputs)
        except ServingError as error:
            errors[number] = error
    return parts, errors


def _check_alike(parts: list[Arrays], inputs: Arrays) -> None:
    for name, value in inputs.items():
        if parts and parts[0][name].shape != value.shape:
            raise invalid(
                f"Expecting shape {list(parts[0][name].shape[1:])} but got: "
                f"{list(value.shape[1:])}"
            )


def _read_object(body: bytes) -> dict[str, Any]:
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    document = parse(body)
    if not isinstance(document, dict):
        raise _format_error(document, "Is not object")
    return document


def _signature_name(document: dict[str, Any]) -> str:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _format_error(
            document,
            "not formatted correctly. 'signature_name' key must be a string value.",
        )
    return name


def _instances(document: dict[str, Any]) -> list[Any]:
    if "instances" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    instances = document["instances"]
    if not isinstance(instances, list):
        raise _format_error(document, "Excepting 'instances' to be an list/array")
    if not instances:
        raise _format_error(document, "No values in 'instances' array")
    return instances


def _check_examples(document: dict[str, Any]) -> None:
    if "examples" not in document:
        raise _format_error(
            document,
            "When method is classify, key 'examples' is expected and was not found",
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _format_error(document, "'examples' value is an empty array")


def _format_error(document: Any, message: str) -> ServingError:
    return invalid(f"JSON Value: {show(document)} {message}")
