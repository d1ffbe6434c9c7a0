"""TensorFlow Serving's REST API."""

from __future__ import annotations

import time
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dce_tf.serving.errors import ServingError
from dce_tf.serving.http import json_results
from dce_tf.serving.http.bodies import Bodies, BodyKind
from dce_tf.serving.http.error_answers import error_response
from dce_tf.serving.http.examples import refuse_examples
from dce_tf.serving.http.paths import ModelPath, parse_path
from dce_tf.serving.http.predictions import Prediction, read_prediction
from dce_tf.serving.http.raw_images import RawImages, raw_kind
from dce_tf.serving.limits import Deadline
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.messages import metadata_json, status_json
from dce_tf.serving.model.predictor import Predictor, join
from dce_tf.serving.model.signatures import Arrays
from dce_tf.serving.observing.tracing import traced

PER_ITEM = "x-per-item-errors"


class ModelRoutes:
    """Answers what is below `/v1/`, as TensorFlow Serving does.

    With the header `X-Per-Item-Errors: 1` a request in row form is answered although
    items of it fail: in their places in `predictions` stands `{"error": "…"}`.

    Args:
        predictor: Asks the model.
        metrics: Told of every request to the model there is, and of those to none.
        bodies: Reads the bodies of requests.
    """

    def __init__(self, predictor: Predictor, metrics: Metrics, bodies: Bodies) -> None:
        self._predictor = predictor
        self._versions = predictor.versions
        self._metrics = metrics
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever its method."""
        request = Request(scope, receive)
        started, code, path = time.perf_counter(), "OK", None
        try:
            path = parse_path(request.method, _target(scope, _takes_options(request)))
            body = await self._answer(path, request)
            response = Response(body, media_type="application/json")
        except ServingError as error:
            response, code = error_response(error), error.code
        await response(scope, receive, send)
        name = path.name if path else ""
        if name in ("", self._versions.name):
            api = path.action if path and request.method == "POST" else ""
            seconds = time.perf_counter() - started
            self._metrics.record_request(name, api, "REST", code, seconds)

    async def _answer(self, path: ModelPath, request: Request) -> bytes:
        if path.action == "status":
            return status_json(self._versions.statuses(path.name, path.version))
        if path.action == "metadata":
            servable = self._versions.servable(path.name, path.version, path.label)
            return metadata_json(path.name, servable)
        if path.action != "predict":
            received = await self._bodies.receive(request, BodyKind.SMALL)
            raise await self._bodies.read(
                received,
                refuse_examples,
                path.action,
                path,
                received.text,
                self._versions,
            )
        per_item = request.headers.get(PER_ITEM, "0").lower() in ("1", "true")
        received = await self._bodies.receive(request, BodyKind.LARGE)
        if not isinstance(received.content, RawImages):
            parse_path(request.method, _target(request.scope))
        deadline = received.deadline
        prediction = await self._bodies.read(
            received,
            read_prediction,
            path,
            received.content,
            self._predictor,
            per_item=per_item,
        )
        del received  # And with it the text.
        return await self._predict(prediction, deadline)

    async def _predict(self, prediction: Prediction, deadline: Deadline) -> bytes:
        each = prediction.errors is not None
        with traced("predict"):
            answers = await self._predictor.run(
                prediction.servable,
                prediction.signature,
                prediction.parts,
                deadline,
                each=each,
            )
        self._metrics.record_examples(
            self._versions.name, sum(part.rows for part in prediction.parts)
        )
        if prediction.errors is not None:
            return await self._bodies.write(
                deadline, len(answers), _write_items, answers, prediction.errors
            )
        outputs = join(answers)
        write = (
            json_results.write_columns
            if prediction.by_column
            else json_results.write_rows
        )
        size = sum(each.size for each in outputs.values())
        return await self._bodies.write(deadline, size, write, outputs)


def _takes_options(request: Request) -> bool:
    """Returns whether the query string may hold options, as the body has no room."""
    content_type = request.headers.get("content-type", "")
    return request.method == "POST" and raw_kind(content_type) is not None


def _target(scope: Scope, without_query: bool = False) -> str:
    """Returns path and query as they were sent, which is what is matched."""
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query and not without_query else path


def _write_items(outcomes: list[object], errors: dict[int, ServingError]) -> bytes:
    waiting = iter(outcomes)
    items = [
        _item(errors[number] if number in errors else next(waiting))
        for number in range(len(outcomes) + len(errors))
    ]
    return json_results.write({"predictions": items})


def _item(outcome: object) -> object:
    if isinstance(outcome, ServingError):
        return {"error": outcome.message}
    if isinstance(outcome, BaseException):
        raise outcome
    return json_results.rows_of(cast(Arrays, outcome))[0]
