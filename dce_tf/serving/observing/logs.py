"""Log lines: as text for people, or as JSON for what collects them."""

from __future__ import annotations

import dataclasses
import datetime
import json
import logging
from typing import Any

from dce_tf.serving.observing.request_ids import current_request_id

FORMATS = ("text", "json")
_REQUESTS = logging.getLogger("dce_tf.serving.requests")
_PROBES = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/monitoring/prometheus/metrics",
    "/grpc.health.v1.Health/Check",
)


@dataclasses.dataclass(frozen=True)
class Answered:
    """A request that was answered.

    Attributes:
        request_id: Its name.
        protocol: `http` or `grpc`.
        client: Address and port it came from.
        method: Of HTTP; `POST` for gRPC.
        route: What was asked, without names: `/v1/collections/{name}:search`.
        path: What was asked, as it was sent but without the query.
        status: Of HTTP, such as 200, or the canonical code of gRPC, such as `OK`.
        ms: Milliseconds until all of the answer was sent.
        is_failure: Whether the server is to blame.
    """

    request_id: str
    protocol: str
    client: str
    method: str
    route: str
    path: str
    status: int | str
    ms: float
    is_failure: bool = False


def log_request(answered: Answered) -> None:
    """Writes the line of a request, unless it is a probe that found all well."""
    if answered.path in _PROBES and answered.status in (200, "OK"):
        return
    fields = dataclasses.asdict(answered)
    del fields["is_failure"]
    level = logging.ERROR if answered.is_failure else logging.INFO
    text = f"{answered.method} {answered.path} {answered.status}"
    _REQUESTS.log(level, "%s", text, extra={"fields": fields})


def set_up_logs(log_format: str, *, access_log: bool) -> None:
    """Sends what the server says of itself to standard error, one line each.

    Args:
        log_format: One of `FORMATS`.
        access_log: Whether each request has a line, too.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    levels = {
        "dce_tf.serving": logging.INFO,
        "uvicorn.error": logging.ERROR,
        "grpc": logging.ERROR,
    }
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)
    _REQUESTS.disabled = not access_log


class TextFormatter(logging.Formatter):
    """Time, level and message; of a request also who asked, how long, and its name."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Returns the line."""
        text = super().formatMessage(record)
        fields = _fields(record)
        known = ("client", "ms", "request_id")
        return " ".join([text, *(f"{k}={fields[k]}" for k in known if k in fields)])


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line: `time` (UTC), `level`, `message` and what else is known."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    name = current_request_id()
    return fields if fields or name is None else {"request_id": name}
