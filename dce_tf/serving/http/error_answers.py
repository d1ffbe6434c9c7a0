"""Answers that are errors."""

from __future__ import annotations

from starlette.responses import Response

from dce_tf.serving.errors import ServingError, error_body


def error_response(error: ServingError) -> Response:
    """Returns the answer to a request that failed."""
    headers = {}
    if error.http == 503:
        headers["Retry-After"] = "1"
    if error.http == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.http in (401, 408, 413):
        headers["Connection"] = "close"  # What else comes of the body is dropped.
    return Response(
        error_body(error.message), error.http, headers, media_type="application/json"
    )
