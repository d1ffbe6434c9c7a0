"""The URLs of TensorFlow Serving's REST API."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse

from dce_tf.serving.errors import ServingError, invalid

_NAME = r"([^/:]+)"
_VERSION = rf"(?:(?:/versions/(\d+))|(?:/labels/{_NAME}))?"
_FLAGS = re.IGNORECASE | re.ASCII
_PREDICTION = re.compile(
    rf"/v1/models/{_NAME}{_VERSION}:(classify|regress|predict)", _FLAGS
)
_STATUS = re.compile(rf"/v1/models(?:/{_NAME})?{_VERSION}(?:/(metadata))?", _FLAGS)
# What a URL consists of (RFC 3986); its percent signs are followed by two digits.
_TARGET = re.compile(r"(?:[-A-Za-z0-9._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
_DIGITS = 19
_LARGEST = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class ModelPath:
    """What a URL names.

    Attributes:
        name: The model.
        action: `predict`, `classify`, `regress`, `metadata` or `status`.
        version: The version by number, or None.
        label: The version by label, or None.
    """

    name: str
    action: str
    version: int | None = None
    label: str | None = None


def parse_path(method: str, target: str) -> ModelPath:
    """Reads the URL of a request.

    Args:
        method: Of HTTP.
        target: Path and query, with percent signs as they came.

    Raises:
        ServingError: If it is none of TensorFlow Serving's.
    """
    if not _TARGET.fullmatch(target):
        raise invalid(f"No URL looks like this: {target}")
    pattern = {"POST": _PREDICTION, "GET": _STATUS}.get(method)
    found = pattern.fullmatch(target) if pattern else None
    if found is None:
        raise _malformed(method, target)
    name, version, label, action = found.groups()
    if method == "POST" and action not in ("classify", "regress", "predict"):
        raise _malformed(method, target)
    number = _read_version(version)
    if name is None:
        raise invalid("Missing model name in request.")
    if method == "GET":
        action = "metadata" if action == "metadata" else "status"
    return ModelPath(
        urllib.parse.unquote(name),
        action,
        number,
        None if label is None else urllib.parse.unquote(label),
    )


def _read_version(text: str | None) -> int | None:
    if text is None:
        return None
    digits = text.lstrip("0")
    if len(digits) > _DIGITS or int(text[-_DIGITS:]) > _LARGEST:
        raise invalid(f"Failed to convert version: {text} to numeric.")
    return int(text[-_DIGITS:])


def _malformed(method: str, target: str) -> ServingError:
    return invalid(f"Malformed request: {method} {target}")
