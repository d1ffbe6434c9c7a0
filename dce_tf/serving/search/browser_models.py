"""The embedder of a collection for browsers, and whose embeddings they send."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from dce_tf.index import Collection
from dce_tf.serving.errors import ServingError
from dce_tf.serving.http.packed_files import packed_response
from dce_tf.serving.model.browser_model import BrowserModel


def send_model(
    models: Mapping[str, BrowserModel], collection: Collection, request: Request
) -> Response:
    """Answers with what a browser embeds with.

    Args:
        models: What there is, by fingerprint.
        collection: What is searched.
        request: Its URL may have the `fingerprint` that is expected.

    Raises:
        ServingError: If there is none, or the collection is of another model.
    """
    check_model(collection, request.query_params.get("fingerprint"))
    model = models.get(collection.fingerprint)
    if model is None:
        raise ServingError(
            "NOT_FOUND", "This server was started without --browser_model."
        )
    headers = {"ETag": f'W/"{model.tag}"', "Cache-Control": "no-cache"}
    return packed_response(model.file, request.headers, headers)


def check_model(collection: Collection, fingerprint: str | None) -> None:
    """Checks that embeddings can be compared with those of a collection.

    Args:
        collection: What is searched.
        fingerprint: Of the model that made them; None if nobody said so.

    Raises:
        ServingError: If they cannot.
    """
    if fingerprint not in (None, collection.fingerprint):
        raise ServingError(
            "FAILED_PRECONDITION",
            f"The collection {collection.name} holds embeddings of the model "
            f"{collection.fingerprint}; received is {fingerprint[:64]}. Embeddings of "
            "two models cannot be compared: load the page again.",
            http=409,
        )
