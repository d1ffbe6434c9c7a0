"""Starts the server, and ends it."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import logging
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from dce_tf.export import resolve_version
from dce_tf.index import Collection, open_collection
from serving.app import Health, build_app
from serving.batching import Batcher
from serving.collections import CollectionRoutes
from serving.connections import PatientProtocol
from serving.embedding import Embedder, NeededVersions, servable_of
from serving.errors import ServingError
from serving.lifetime import GracefulServer
from serving.metrics import Metrics
from serving.predictor import Predictor
from serving.settings import Settings
from serving.versions import Find, Versions, versions_in

_KEEP_ALIVE = 75  # Seconds; longer than a proxy in front keeps a connection unused.


def serve(settings: Settings) -> None:
    """Serves until it is told to end by SIGTERM or Ctrl-C.

    Raises:
        ValueError: If there is no model, the port is taken, or a collection is of
            another model.
    """
    _set_up_logs(settings)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        collections = [
            stack.enter_context(_opened(where, settings)) for where in settings.index
        ]
        _check_names(collections)
        versions = _load(collections, settings)
        stack.callback(versions.close)
        metrics = Metrics()
        batcher = Batcher(
            max_batch_size=settings.max_batch_size,
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
            max_batch_size=settings.max_batch_size,
            max_image_pixels=settings.max_image_pixels,
        )
        routes = CollectionRoutes(
            collections,
            Embedder(predictor, settings.limits.answer_seconds),
            metrics,
            settings.limits,
            read_only=settings.read_only,
        )
        stack.callback(routes.close)
        health = Health()
        app = build_app(
            predictor,
            routes,
            metrics,
            settings.limits,
            health=health,
            token=settings.token,
        )
        versions.watch(settings.poll_seconds)
        _announce(settings, listener, versions)
        if settings.grpc_port is not None:
            stack.enter_context(_grpc(predictor, metrics, settings))
        config = _configure(app, settings)
        server = GracefulServer(config, health, settings.lame_duck_seconds)
        server.run(sockets=[listener])


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
def _grpc(predictor: Predictor, metrics: Metrics, settings: Settings) -> Iterator[None]:
    from serving.grpc_server import start_grpc

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    server, port = start_grpc(
        predictor,
        metrics,
        settings.limits,
        f"{host}:{settings.grpc_port}",
        token=settings.token,
        tls=settings.tls,
    )
    print(f"gRPC: {host}:{port}", flush=True)
    try:
        yield
    finally:
        server.stop(settings.drain_seconds).wait()


def _load(collections: Sequence[Collection], settings: Settings) -> Versions:
    versions = Versions(
        settings.model_name,
        find_versions(settings.source),
        wanted=settings.versions,
        labels=settings.version_labels,
        needed=NeededVersions(each.fingerprint for each in collections),
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
                "made with, or make it anew with `python main.py embed` and `python "
                "main.py index`."
            ) from error
    return versions


def _check_names(collections: Sequence[Collection]) -> None:
    names = [each.name for each in collections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"--index: two collections are called {twice[0]}. Make one of them anew "
            "with `python main.py index --name=…`."
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
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=settings.access_log,
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
    print(f"{settings.model_name}, version {numbers}: {address}/", flush=True)
    if settings.token is None and not ipaddress.ip_address(host).is_loopback:
        print(
            f"Warning: whoever reaches {host} can use this server, and change its "
            "collections. Set a token with --token_file or DCE_TF_TOKEN.",
            file=sys.stderr,
        )


def _set_up_logs(settings: Settings) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    names = ["serving", "uvicorn.error", *(["uvicorn.access"] * settings.access_log)]
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger("serving").setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
