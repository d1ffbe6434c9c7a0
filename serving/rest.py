"""TensorFlow Serving's REST API."""

from __future__ import annotations

import time
from typing import cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving import results
from serving.errors import ServingError
from serving.guards import Limits, error_response, read_body
from serving.metrics import Metrics
from serving.paths import ModelPath, parse_path
from serving.predictor import Predictor, join, wait_for
from serving.protos import metadata_json, status_json
from serving.requests import Prediction, read_prediction, refuse_examples
from serving.signatures import Arrays

PER_ITEM = "x-per-item-errors"
_LARGE = 256 * 1024  # Bytes of JSON that take long enough to keep others waiting.


class ModelRoutes:
    """Answers what is below `/v1/`, as TensorFlow Serving does.

    With the header `X-Per-Item-Errors: 1` a request in row form is answered although
    items of it fail: in their places in `predictions` stands `{"error": "…"}`.

    Args:
        predictor: Asks the model.
        metrics: Told of every request to a model there is.
        limits: What a request may take.
    """

    def __init__(self, predictor: Predictor, metrics: Metrics, limits: Limits) -> None:
        self._predictor = predictor
        self._versions = predictor.versions
        self._metrics = metrics
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever its method."""
        request = Request(scope, receive)
        started, code, path = time.perf_counter(), "OK", None
        try:
            path = parse_path(request.method, _target(scope))
            body = await self._answer(path, request)
            response = Response(body, media_type="application/json")
        except ServingError as error:
            response, code = error_response(error), error.code
        await response(scope, receive, send)
        if path and request.method == "POST" and path.name == self._versions.name:
            seconds = time.perf_counter() - started
            self._metrics.record_request(path.name, path.action, "REST", code, seconds)

    async def _answer(self, path: ModelPath, request: Request) -> bytes:
        if path.action == "status":
            return status_json(self._versions.statuses(path.name, path.version))
        if path.action == "metadata":
            servable = self._versions.servable(path.name, path.version, path.label)
            return metadata_json(path.name, servable)
        body = await read_body(request, self._limits)
        if path.action != "predict":
            raise refuse_examples(path.action, path, body, self._versions)
        per_item = request.headers.get(PER_ITEM, "0").lower() in ("1", "true")
        prediction = await self._read(path, body, per_item=per_item)
        return await self._predict(prediction)

    async def _read(
        self, path: ModelPath, body: bytes, *, per_item: bool
    ) -> Prediction:
        if len(body) > _LARGE:
            return await run_in_threadpool(
                read_prediction, path, body, self._predictor, per_item=per_item
            )
        return read_prediction(path, body, self._predictor, per_item=per_item)

    async def _predict(self, prediction: Prediction) -> bytes:
        answers = (
            self._predictor.submit(
                prediction.servable, prediction.signature, prediction.parts
            )
            if prediction.parts
            else []
        )
        seconds = self._limits.answer_seconds
        if prediction.errors is not None:
            outcomes = await wait_for(answers, seconds, each=True)
            return _write_items(outcomes, prediction.errors)
        outputs = join(await wait_for(answers, seconds))
        if prediction.by_column:
            return results.write_columns(outputs)
        return results.write_rows(outputs)


def _target(scope: Scope) -> str:
    """Returns path and query as they were sent, which is what is matched."""
    path = scope["raw_path"].decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _write_items(outcomes: list[object], errors: dict[int, ServingError]) -> bytes:
    waiting = iter(outcomes)
    items = [
        _item(errors[number] if number in errors else next(waiting))
        for number in range(len(outcomes) + len(errors))
    ]
    return results.write({"predictions": items})


def _item(outcome: object) -> object:
    if isinstance(outcome, ServingError):
        return {"error": outcome.message}
    if isinstance(outcome, BaseException):
        raise outcome
    return results.rows_of(cast(Arrays, outcome))[0]
