"""What `classify`, `regress` and `MultiInference` answer: that the model has none.

They are for models that read `tf.Example`s; those served here read images.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.paths import ModelPath
from dce_tf.serving.http.predictions import format_error, read_object, signature_name
from dce_tf.serving.model.servable import DEFAULT_SIGNATURE, Servable
from dce_tf.serving.model.signatures import Signature
from dce_tf.serving.model.versions import Versions

_KINDS = {"classify": "classification", "regress": "regression"}
_METHODS = {f"tensorflow/serving/{action}": action for action in _KINDS}


def refuse_examples(
    action: str, path: ModelPath, body: bytes, versions: Versions
) -> ServingError:
    """Returns why a REST request to `classify` or `regress` is not answered."""
    try:
        document = read_object(body)
        name = signature_name(document)
        _check_examples(document)
        servable = versions.servable(path.name, path.version, path.label)
    except ServingError as error:
        return error
    return refuse_signature(action, servable, name)


def refuse_signature(action: str, servable: Servable, name: str) -> ServingError:
    """Returns why a signature is not answered, in TensorFlow Serving's order.

    Args:
        action: `classify` or `regress`.
        servable: The version asked.
        name: The signature; empty for the default one.
    """
    name = name or DEFAULT_SIGNATURE
    signature = servable.signature(name)
    if signature is None:
        return invalid(f"No signature was found with the name: {name}")
    reason = _misfit(action, signature, servable.definitions[name])
    if reason is not None:
        return invalid(reason)
    return ServingError("UNIMPLEMENTED", f"{action} is not served here. Ask predict.")


def refuse_tasks(tasks: Iterable[Any], servable: Servable) -> ServingError:
    """Returns why the tasks of a `MultiInference` call are not answered.

    Args:
        tasks: `InferenceTask` messages, of which there is at least one.
        servable: The version that the first of them asks.
    """
    names = set()
    model = ""
    for task in tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        model = model or task.model_spec.name
        if not task.model_spec.name:
            return invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != model:
            return invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model "
                "name."
            )
        if name in names:
            return invalid(f"Duplicate evaluation of signature: {name}")
        names.add(name)
        refusal = _refuse_task(task.method_name, servable, name)
        if refusal is not None:
            return refusal
    return ServingError("UNIMPLEMENTED", "MultiInference is not served here.")


def _refuse_task(method: str, servable: Servable, name: str) -> ServingError | None:
    signature = servable.signature(name)
    if signature is None:
        return invalid(f"Requested signature not found in model graph: {name}")
    if method not in _METHODS:
        return ServingError(
            "UNIMPLEMENTED", f"Unsupported signature method_name: {method}"
        )
    reason = _misfit(_METHODS[method], signature, servable.definitions[name])
    return None if reason is None else invalid(reason)


def _misfit(action: str, signature: Signature, proto: Any) -> str | None:
    """Returns why a signature has not the tensors an action needs, if it has not."""
    inputs, outputs = set(signature.inputs), set(signature.outputs)
    if len(inputs) != 1:
        return "Expected one input Tensor."
    if action == "regress" and len(outputs) != 1:
        return "Expected one output Tensor."
    if len(outputs) not in (1, 2):
        return f"Expected one or two output Tensors, found {len(outputs)}"
    if inputs != {"inputs"}:
        return f"No {_KINDS[action]} inputs found in SignatureDef: {proto}"
    if action == "regress":
        found = outputs == {"outputs"}
        return (
            None if found else f"No regression outputs found in SignatureDef: {proto}"
        )
    if outputs & {"classes", "scores"}:
        return None
    return (
        "Expected classification signature outputs to contain at least one of "
        f'"classes" or "scores". Signature was: {proto}'
    )


def _check_examples(document: dict[str, Any]) -> None:
    if "examples" not in document:
        raise format_error(
            document,
            "When method is classify, key 'examples' is expected and was not found",
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise format_error(document, "'examples' value is an empty array")
