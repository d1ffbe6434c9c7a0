"""What can be set of the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from serving.guards import Limits


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        source: A run directory, a folder of versions, or one version.
        model_name: What clients call the model.
        host: Address to listen at.
        port: Port of HTTP; 0 takes a free one.
        grpc_port: Port of gRPC; None for no gRPC.
        versions: Versions to serve; none for the newest.
        version_labels: Versions by name.
        poll_seconds: How often to look for new versions.
        index: Collections to serve, as `open_collection` names them.
        read_only: Whether nobody may change the collections.
        max_batch_size: Examples run together.
        batch_wait_seconds: How long an example waits for others.
        max_queued: Examples that may wait.
        num_batch_threads: Batches run at once.
        max_image_pixels: Pixels an image may have.
        limits: What a request may take.
        token: What requests must carry.
        tls: Files of certificate and key, for https and gRPC over TLS.
        lame_duck_seconds: How long requests are still taken after SIGTERM, when
            `/readyz` already says no.
        drain_seconds: How long those then under way may take.
        access_log: Whether to print a line a request.
    """

    source: Path
    model_name: str = "embedder"
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int | None = None
    versions: tuple[int, ...] = ()
    version_labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    poll_seconds: float = 2.0
    index: tuple[str, ...] = ()
    read_only: bool = False
    max_batch_size: int = 32
    batch_wait_seconds: float = 0.0
    max_queued: int = 1024
    num_batch_threads: int = 2
    max_image_pixels: int = 50_000_000
    limits: Limits = dataclasses.field(default_factory=Limits)
    token: str | None = None
    tls: tuple[Path, Path] | None = None
    lame_duck_seconds: float = 1.0
    drain_seconds: float = 30.0
    access_log: bool = False
