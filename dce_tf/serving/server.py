"""Starts the server, and ends it."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import socket
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from dce_tf.base.program import PROGRAM
from dce_tf.export import resolve_version
from dce_tf.index import Collection, open_collection
from dce_tf.serving.app import Health, build_app
from dce_tf.serving.browser import open_browser
from dce_tf.serving.errors import ServingError
from dce_tf.serving.http.bodies import Bodies
from dce_tf.serving.http.connections import patient_protocol
from dce_tf.serving.lifetime import GracefulServer
from dce_tf.serving.memory import MemoryBudget
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.batching import Batcher
from dce_tf.serving.model.browser_model import make_browser_models
from dce_tf.serving.model.embedding import GalleryEmbedder, NeededVersions, servable_of
from dce_tf.serving.model.predictor import Predictor
from dce_tf.serving.model.servable import Servable
from dce_tf.serving.model.version_policy import VersionPolicy
from dce_tf.serving.model.versions import Find, Versions, versions_in
from dce_tf.serving.observing.logs import set_up_logs
from dce_tf.serving.observing.tracing import Tracing
from dce_tf.serving.search.collections import CollectionRoutes
from dce_tf.serving.settings import Settings

_BATCH_IMAGES = 2  # Of the largest size that are decoded at once, in each thread.
_LOG = logging.getLogger(__name__)
_KEEP_ALIVE = 75  # Seconds; longer than a proxy in front keeps a connection unused.


def serve(settings: Settings) -> None:
    """Serves until it is told to end by SIGTERM or Ctrl-C.

    Raises:
        ValueError: If there is no model, the port is taken, or a collection is of
            another model.
    """
    set_up_logs(settings.log_format, access_log=settings.access_log)
    with contextlib.ExitStack() as stack:
        tracing = stack.enter_context(_traced()) if settings.tracing else None
        listener = stack.enter_context(_listen(settings.access.host, settings.port))
        collections = [
            stack.enter_context(_opened(where, settings)) for where in settings.index
        ]
        _check_names(collections)
        metrics = Metrics()
        versions = _load(collections, metrics, settings)
        stack.callback(versions.close)
        browser_models = {}
        if settings.browser_model:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dce_tf-"))
            wanted = [each.fingerprint for each in collections]
            browser_models = make_browser_models(versions, wanted, Path(folder))
        batcher = Batcher(
            max_batch_size=settings.max_batch_size,
            max_pixels=_BATCH_IMAGES * settings.max_image_pixels,
            wait_seconds=settings.batch_wait_seconds,
            max_queued=settings.max_queued,
            num_threads=settings.num_batch_threads,
            observe=metrics.record_batch,
        )
        stack.callback(batcher.close, settings.drain_seconds)
        metrics.watch_queue(lambda: batcher.queued)
        predictor = Predictor(
            versions,
            batcher,
            metrics,
            max_image_pixels=settings.max_image_pixels,
            max_request_pixels=settings.max_request_pixels,
            max_examples=settings.limits.records,
        )
        budget = MemoryBudget(settings.limits)
        bodies = Bodies(settings.limits)
        stack.callback(bodies.close)
        routes = CollectionRoutes(
            collections,
            GalleryEmbedder(predictor),
            metrics,
            bodies,
            settings.limits,
            read_only=settings.read_only,
            browser_models=browser_models,
        )
        stack.callback(routes.close)
        health = Health()
        app = build_app(
            predictor,
            routes,
            metrics,
            bodies,
            budget,
            health=health,
            access=settings.access,
            tracing=tracing,
        )
        versions.watch(settings.poll_seconds)
        _announce(settings, listener, versions)
        if settings.grpc_port is not None:
            stack.enter_context(
                _grpc(predictor, metrics, budget, bodies, health, settings, tracing)
            )
        config = _configure(app, settings)
        server = GracefulServer(config, health, settings.lame_duck_seconds)
        server.run(sockets=[listener])
    _LOG.info("Ended.")


def find_versions(source: Path) -> Find:
    """Returns what finds the versions of a model.

    Args:
        source: A run directory or a folder of versions, which is looked into again and
            again, or one version.

    Raises:
        ValueError: If there is none.
    """
    newest = resolve_version(source)
    if newest != source:
        return functools.partial(versions_in, newest.parent)
    number = int(source.name) if source.name.isdecimal() else 1
    return lambda: {number: source}


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ValueError(
            f"--host={host} --port={port}: {error.strerror or error}. Choose another "
            "port, or --port=0 for a free one."
        ) from error


@contextlib.contextmanager
def _grpc(
    predictor: Predictor,
    metrics: Metrics,
    budget: MemoryBudget,
    bodies: Bodies,
    health: Health,
    settings: Settings,
    tracing: Tracing | None,
) -> Iterator[None]:
    from dce_tf.serving.grpc.server import GrpcServer

    host = settings.access.host
    host = f"[{host}]" if ":" in host else host
    server = GrpcServer(
        predictor,
        metrics,
        budget,
        bodies,
        f"{host}:{settings.grpc_port}",
        token=settings.access.token,
        tls=settings.tls,
        read_only=settings.read_only,
        tracing=tracing,
    )
    health.when_draining.append(server.drain)
    _tell(settings, f"gRPC: {host}:{server.port}")
    try:
        yield
    finally:
        server.stop(settings.drain_seconds)


def _load(
    collections: Sequence[Collection], metrics: Metrics, settings: Settings
) -> Versions:
    versions = Versions(
        settings.model_name,
        find_versions(settings.source),
        policy=VersionPolicy(frozenset(settings.versions)),
        labels=settings.version_labels,
        needed=NeededVersions(
            (each.fingerprint, each.place_codes) for each in collections
        ),
        loaded=functools.partial(_record_warmup, metrics, settings.model_name),
    )
    versions.poll()
    if not versions.is_ready:
        wanted = ", ".join(map(str, settings.versions))
        problem = f"there is no version {wanted}".rstrip()
        for status in versions.known():
            if status.failure is not None:
                problem = f"version {status.version}: {status.failure.message}"
        raise ValueError(f"{settings.source} cannot be served: {problem}")
    for collection in collections:
        try:
            servable_of(versions, collection.fingerprint)
        except ServingError as error:
            raise ValueError(
                f"--index: {collection.name}: {error.message} Serve the model it was "
                f"made with, or make it again with `{PROGRAM} embed` and "
                f"`{PROGRAM} index`."
            ) from error
    return versions


def _record_warmup(metrics: Metrics, name: str, servable: Servable) -> None:
    if servable.warmup_seconds is not None:
        metrics.record_warmup(f"{name}/{servable.version}", servable.warmup_seconds)


def _check_names(collections: Sequence[Collection]) -> None:
    names = [each.name for each in collections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"--index: two collections are called {twice[0]}. Make one of them "
            f"again with `{PROGRAM} index --name=…`."
        )


@contextlib.contextmanager
def _opened(where: str, settings: Settings) -> Iterator[Collection]:
    collection = open_collection(where, read_only=settings.read_only)
    try:
        yield collection
    finally:
        collection.close()


def _configure(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=patient_protocol(settings.send_seconds),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # Ours knows more.
        proxy_headers=False,
        server_header=False,
        ssl_certfile=settings.tls and settings.tls[0],
        ssl_keyfile=settings.tls and settings.tls[1],
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=settings.drain_seconds,  # type: ignore[arg-type]
    )


def _announce(settings: Settings, listener: socket.socket, versions: Versions) -> None:
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls else "http"
    address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    numbers = ", ".join(str(each.version) for each in versions.available())
    _tell(settings, f"{settings.model_name}, version {numbers}: {address}/")
    if settings.open and not open_browser(_seen_from_here(address, host)):
        _tell(settings, f"No display is here: open {address}/ in a browser yourself.")
    if settings.access.token is None and not ipaddress.ip_address(host).is_loopback:
        _LOG.warning(
            "Whoever reaches %s can use this server, and change its collections. Set a "
            "token with --token_file or DCE_TF_TOKEN.",
            host,
        )


def _seen_from_here(address: str, host: str) -> str:
    """Returns the address of the page for a browser on this machine."""
    if ipaddress.ip_address(host).is_unspecified:
        address = address.replace(f"[{host}]" if ":" in host else host, "localhost")
    return f"{address}/"


def _tell(settings: Settings, text: str) -> None:
    """Tells people on standard output where it serves, and programs in the log."""
    if settings.log_format == "json":
        _LOG.info("%s", text)
    else:
        print(text, flush=True)


@contextlib.contextmanager
def _traced() -> Iterator[Tracing]:
    tracing = Tracing()
    try:
        yield tracing
    finally:
        tracing.close()
