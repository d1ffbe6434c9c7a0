"""One name for each request, by which its answer, log lines and trace are found."""

from __future__ import annotations

import contextvars
import re
import uuid

HEADER = "x-request-id"
"""The header, and the key in the metadata of gRPC."""
_TAKEN = re.compile(r"[A-Za-z0-9._~:+/=@-]{1,128}")
_CURRENT: contextvars.ContextVar[str | None] = contextvars.ContextVar(
    "request_id", default=None
)


def take_request_id(given: str | None) -> str:
    """Returns the name of a request, and keeps it for the log lines that follow.

    Args:
        given: What the client, or a proxy in front, calls it. Anything but 1 to 128
            letters, digits and signs such as `-` and `.` is replaced: it goes into a
            header and into the log.
    """
    name = given if given and _TAKEN.fullmatch(given) else uuid.uuid4().hex
    _CURRENT.set(name)
    return name


def current_request_id() -> str | None:
    """Returns the name of the request that is worked on here, or None."""
    return _CURRENT.get()
