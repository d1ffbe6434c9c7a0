"""Turns the flags of `serve` into the settings of a server."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.program import tell_to_install
from dce_tf.commands.flags.serve import TOKEN_VARIABLE
from dce_tf.commands.selecting import named_path

_EXTRA = ("orjson", "prometheus_client", "starlette", "uvicorn")
_MISSING: str | None = None
try:
    from dce_tf.serving.http.guards import (
        Access,
        check_hosts,
        check_origins,
        check_token,
    )
    from dce_tf.serving.limits import Limits
    from dce_tf.serving.server import serve
    from dce_tf.serving.settings import Settings
except ModuleNotFoundError as missing:
    if missing.name not in _EXTRA:
        raise
    _MISSING = missing.name

_AS_GIVEN = (
    "model_name",
    "port",
    "grpc_port",
    "browser_model",
    "read_only",
    "max_batch_size",
    "max_queued",
    "num_batch_threads",
    "max_image_pixels",
    "max_request_pixels",
    "poll_seconds",
    "send_seconds",
    "lame_duck_seconds",
    "drain_seconds",
    "log_format",
    "tracing",
    "open",
)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or Ctrl-C."""
    check_installed()
    if not re.fullmatch("[^/:]+", settings["model_name"]):
        raise UsageError(
            f"--model_name={settings['model_name']}: expected a name without / and :."
        )
    if settings["browser_model"] and not settings["index"]:
        raise UsageError(
            "--browser_model embeds photographs in the search page, and there is "
            "nothing to search in. Name a collection with --index=DIR, which "
            "`index` makes."
        )
    serve(
        Settings(
            source=named_path(settings, arguments),
            versions=_versions(settings["versions"]),
            version_labels=_labels(settings["version_labels"]),
            index=tuple(settings["index"]),
            batch_wait_seconds=settings["batch_wait_ms"] / 1000,
            limits=Limits(
                body_bytes=settings["max_body_mb"] * 2**20,
                query_bytes=settings["max_query_mb"] * 2**20,
                json_values=settings["max_json_values"],
                records=settings["max_records"],
                body_seconds=settings["body_seconds"],
                answer_seconds=settings["timeout_seconds"],
            ),
            access=Access(
                host=settings["host"],
                allowed_hosts=check_hosts(settings["allowed_hosts"]),
                cors_origins=check_origins(settings["cors_origins"]),
                token=_token(settings["token_file"]),
            ),
            tls=_tls_files(settings),
            access_log=_wants_access_log(settings),
            **{name: settings[name] for name in _AS_GIVEN},
        )
    )
    return 0


def check_installed() -> None:
    """Checks that what a server needs is installed.

    Raises:
        UsageError: If it is not.
    """
    if _MISSING is not None:
        raise UsageError(
            f"`serve` needs the package {_MISSING}: {tell_to_install('serve')}."
        )


def _wants_access_log(settings: Mapping[str, Any]) -> bool:
    wanted: bool | None = settings["access_log"]
    return settings["log_format"] == "json" if wanted is None else wanted


def _versions(words: Sequence[str]) -> tuple[int, ...]:
    if not all(word.isdecimal() for word in words):
        raise UsageError(
            f"--versions={','.join(words)}: expected numbers, such as --versions=1,2."
        )
    return tuple(int(word) for word in words)


def _labels(words: Sequence[str]) -> dict[str, int]:
    pairs = [word.partition(":") for word in words]
    if not all(name and number.isdecimal() for name, _, number in pairs):
        raise UsageError(
            f"--version_labels={','.join(words)}: expected names with numbers, such as "
            "--version_labels=stable:1,canary:2."
        )
    return {name: int(number) for name, _, number in pairs}


def _token(file: str | None) -> str | None:
    if file is None:
        found = os.environ.get(TOKEN_VARIABLE)
        return check_token(found, TOKEN_VARIABLE) if found else None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token_file={file} cannot be read: {error}.") from error
    if not token:
        raise UsageError(f"--token_file={file} is empty: write a secret into it.")
    return check_token(token, f"--token_file={file}")


def _tls_files(settings: Mapping[str, Any]) -> tuple[Path, Path] | None:
    certificate, key = (settings[name] for name in ("tls_cert", "tls_key"))
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise UsageError("--tls_cert and --tls_key go together: give both or none.")
    for name, path in (("tls_cert", certificate), ("tls_key", key)):
        if not Path(path).is_file():
            raise UsageError(f"--{name}={path}: there is no such file.")
    try:
        ssl.create_default_context().load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UsageError(
            f"--tls_cert={certificate} and --tls_key={key} are no certificate with its "
            f"key in PEM: {error.reason or error}."
        ) from error
    return Path(certificate), Path(key)
