"""Answer over HTTP, as TensorFlow Serving does, and search: `serve SOURCE --index=DIR`.

SOURCE is a run directory, a folder of versions 1, 2, …, which is watched for new ones,
or one version of a SavedModel. `--index` may be given several times; each is what
`index` made, or `milvus:URI#NAME`.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf.errors import UsageError
from dce_tf.runs.selecting import define_run_flag, named_path

_EXTRA = ("orjson", "prometheus_client", "starlette", "uvicorn")
_MISSING: str | None = None
try:
    from serving.guards import Limits
    from serving.run import serve
    from serving.settings import Settings
except ModuleNotFoundError as missing:
    if missing.name not in _EXTRA:
        raise
    _MISSING = missing.name

TOKEN_VARIABLE = "DCE_TF_TOKEN"
_STRINGS = (
    ("model_name", "embedder", "What clients call the model: /v1/models/NAME."),
    ("host", "127.0.0.1", "Address to listen at; 0.0.0.0 for all."),
    ("tls_cert", None, "Certificate (PEM), for https and gRPC over TLS."),
    ("tls_key", None, "Key of --tls_cert (PEM)."),
    (
        "token_file",
        None,
        "Holds the secret that requests must carry as `Authorization: Bearer …`; "
        f"default: {TOKEN_VARIABLE} in the environment.",
    ),
)
_NUMBERS = (
    ("port", 8501, 0, "Port of HTTP; 0 takes a free one."),
    ("grpc_port", None, 0, "Port of gRPC; default: no gRPC."),
    ("max_batch_size", 32, 1, "Images that go through the model together."),
    ("max_queued", 1024, 1, "Images that may wait; further ones are refused (503)."),
    ("num_batch_threads", 2, 1, "Batches that run at once."),
    ("max_image_pixels", 50_000_000, 1, "Pixels of an image that is decoded at all."),
    ("max_body_mb", 64, 1, "Size of a request, unpacked (413)."),
)
_TIMES = (
    ("poll_seconds", 2.0, 0.01, "How often to look for new versions."),
    ("batch_wait_ms", 0.0, 0.0, "How long an image waits for others to join it."),
    ("body_seconds", 30.0, 0.01, "Until the body of a request is here (408)."),
    ("timeout_seconds", 30.0, 0.01, "From then until its answer (504)."),
    (
        "lame_duck_seconds",
        1.0,
        0.0,
        "After SIGTERM, how long requests are still taken while /readyz says no.",
    ),
    ("drain_seconds", 30.0, 0.0, "How long requests then under way may take."),
)
_AS_GIVEN = (
    "model_name",
    "host",
    "port",
    "grpc_port",
    "read_only",
    "max_batch_size",
    "max_queued",
    "num_batch_threads",
    "max_image_pixels",
    "poll_seconds",
    "lame_duck_seconds",
    "drain_seconds",
    "access_log",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    flags.DEFINE_multi_string(
        "index",
        [],
        "A collection to search; repeat it for several.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "read_only", False, "Let nobody change the collections.", flag_values=values
    )
    flags.DEFINE_list(
        "versions", [], "Versions to serve; default: the newest.", flag_values=values
    )
    flags.DEFINE_list(
        "version_labels", [], "Versions by name: stable:1,canary:2.", flag_values=values
    )
    for name, text, help_text in _STRINGS:
        flags.DEFINE_string(name, text, help_text, flag_values=values)
    for name, number, least, help_text in _NUMBERS:
        flags.DEFINE_integer(
            name, number, help_text, lower_bound=least, flag_values=values
        )
    for name, seconds, shortest, help_text in _TIMES:
        flags.DEFINE_float(
            name, seconds, help_text, lower_bound=shortest, flag_values=values
        )
    flags.DEFINE_bool(
        "access_log", False, "Print a line a request.", flag_values=values
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or Ctrl-C."""
    if _MISSING is not None:
        raise UsageError(
            f"`serve` needs the package {_MISSING}. In the checkout: "
            "`pip install '.[serve]'`."
        )
    if not re.fullmatch("[^/:]+", settings["model_name"]):
        raise UsageError(
            f"--model_name={settings['model_name']}: expected a name without / and :."
        )
    serve(
        Settings(
            source=named_path(settings, arguments),
            versions=_versions(settings["versions"]),
            version_labels=_labels(settings["version_labels"]),
            index=tuple(settings["index"]),
            batch_wait_seconds=settings["batch_wait_ms"] / 1000,
            limits=Limits(
                settings["max_body_mb"] * 2**20,
                settings["body_seconds"],
                settings["timeout_seconds"],
            ),
            token=_token(settings["token_file"]),
            tls=_tls_files(settings),
            **{name: settings[name] for name in _AS_GIVEN},
        )
    )
    return 0


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
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token_file={file} cannot be read: {error}.") from error
    if not token:
        raise UsageError(f"--token_file={file} is empty: write a secret into it.")
    return token


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
