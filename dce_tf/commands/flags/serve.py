"""Answer over HTTP, as TensorFlow Serving does, and search: `serve SOURCE --index=DIR`.

SOURCE is a run directory, a folder of versions 1, 2, …, which is watched for new ones,
or one version of a SavedModel, also as `hf://user/name`. `--index` may be given several
times; each is what `index` made: a directory, `milvus:URI#NAME` or `postgres:DSN#NAME`.

Every flag may come from the environment: `--max_body_mb` is DCE_TF_MAX_BODY_MB, SOURCE
is DCE_TF_RUN, and several `--index` stand on one line each. The command line wins.
"""

from __future__ import annotations

from absl import flags

from dce_tf.commands.selecting import define_run_flag

ENVIRONMENT = "DCE_TF_"
"""With which the variables begin that flags are read from."""
TOKEN_VARIABLE = "DCE_TF_TOKEN"
OTHER_VARIABLES = (TOKEN_VARIABLE,)


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
    (
        "max_request_pixels",
        1_000_000_000,
        1,
        "Pixels of all images of a request together (413).",
    ),
    ("max_body_mb", 64, 1, "Size of a request with images, unpacked (413)."),
    ("max_query_mb", 1, 1, "Size of any other, such as a search by vector (413)."),
    (
        "max_json_values",
        1_000_000,
        1,
        "Numbers, strings, lists and objects of a request (413).",
    ),
    ("max_records", 10_000, 1, "Records, ids or examples of a request (413)."),
)


_TIMES = (
    ("poll_seconds", 2.0, 0.01, "How often to look for new versions."),
    ("batch_wait_ms", 0.0, 0.0, "How long an image waits for others to join it."),
    ("body_seconds", 30.0, 0.01, "Until the body of a request is here (408)."),
    ("timeout_seconds", 30.0, 0.01, "From then until its answer (504)."),
    (
        "send_seconds",
        20.0,
        0.01,
        "Until a client has taken 64 KB of its answer; then it is cut off.",
    ),
    (
        "lame_duck_seconds",
        1.0,
        0.0,
        "After SIGTERM, how long requests are still taken while /readyz says no.",
    ),
    ("drain_seconds", 30.0, 0.0, "How long requests then under way may take."),
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
        "browser_model",
        False,
        "Have the search page embed photographs itself, so that none leaves its "
        "device; needs `[formats]` and --index.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "read_only",
        False,
        "Let nobody change the collections, or which versions are served.",
        flag_values=values,
    )
    flags.DEFINE_bool("open", False, "Open the page in a browser.", flag_values=values)
    flags.DEFINE_list(
        "versions", [], "Versions to serve; default: the newest.", flag_values=values
    )
    flags.DEFINE_list(
        "version_labels", [], "Versions by name: stable:1,canary:2.", flag_values=values
    )
    flags.DEFINE_list(
        "allowed_hosts",
        [],
        "Names clients know the server by, besides localhost and --host: the `Host` of "
        "their requests; `*.example.com` for all below one, `*` for any.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "cors_origins",
        [],
        "Sites whose pages may use the API, such as https://example.com; `*` for all.",
        flag_values=values,
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
    flags.DEFINE_enum(
        "log_format",
        "text",
        ("text", "json"),
        "Log lines for people, or one JSON object per line: text or json.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "access_log",
        None,
        "Write a line for each request; default: yes with --log_format=json, else no.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "tracing",
        False,
        "Send OpenTelemetry's traces to where OTEL_EXPORTER_OTLP_ENDPOINT says.",
        flag_values=values,
    )
