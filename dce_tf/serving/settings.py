"""What can be set of the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from dce_tf.serving.http.guards import Access
from dce_tf.serving.limits import Limits


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        source: A run directory, a folder of versions, or one version.
        model_name: What clients call the model.
        port: Port of HTTP; 0 takes a free one.
        grpc_port: Port of gRPC; None for no gRPC.
        versions: Versions to serve; none for the newest.
        version_labels: Versions by name.
        poll_seconds: How often to look for new versions.
        index: Collections to serve, as `open_collection` names them.
        browser_model: Whether the page embeds photographs itself, in the browser.
        read_only: Whether nobody may change the collections or the versions served.
        max_batch_size: Examples run together.
        batch_wait_seconds: How long an example waits for others.
        max_queued: Examples that may wait.
        num_batch_threads: Batches run at once.
        max_image_pixels: The most pixels of an image.
        max_request_pixels: Pixels all images of a request may have together.
        limits: What a request may take.
        access: Address to listen at, and who may ask.
        send_seconds: How long a client may take over a piece of its answer.
        tls: Files of certificate and key, for https and gRPC over TLS.
        lame_duck_seconds: How long requests are still taken after SIGTERM, when
            `/readyz` already says no.
        drain_seconds: How long those then under way may take.
        access_log: Whether to write a line for each request.
        log_format: One of `FORMATS` of `observing.logs`.
        tracing: Whether to send OpenTelemetry's traces.
        open: Whether to open the page in a browser.
    """

    source: Path
    model_name: str = "embedder"
    port: int = 8501
    grpc_port: int | None = None
    versions: tuple[int, ...] = ()
    version_labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    poll_seconds: float = 2.0
    index: tuple[str, ...] = ()
    browser_model: bool = False
    read_only: bool = False
    max_batch_size: int = 32
    batch_wait_seconds: float = 0.0
    max_queued: int = 1024
    num_batch_threads: int = 2
    max_image_pixels: int = 50_000_000
    max_request_pixels: int = 1_000_000_000
    limits: Limits = dataclasses.field(default_factory=Limits)
    access: Access = dataclasses.field(default_factory=Access)
    send_seconds: float = 20.0
    tls: tuple[Path, Path] | None = None
    lame_duck_seconds: float = 1.0
    drain_seconds: float = 30.0
    access_log: bool = False
    log_format: str = "text"
    tracing: bool = False
    open: bool = False
