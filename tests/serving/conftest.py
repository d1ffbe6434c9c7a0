import asyncio
import base64
import concurrent.futures
import contextlib
import functools
import io
import json
import logging
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tensorflow as tf
import uvicorn
from PIL import Image

from dce_tf.export.warmup import write_warmup
from dce_tf.images import preprocessing
from dce_tf.index import Collection
from dce_tf.serving.app import Health, build_app
from dce_tf.serving.grpc.server import GrpcServer
from dce_tf.serving.http.bodies import Bodies
from dce_tf.serving.http.connections import PatientProtocol
from dce_tf.serving.http.guards import Access
from dce_tf.serving.lifetime import GracefulServer
from dce_tf.serving.limits import Limits
from dce_tf.serving.memory import MemoryBudget
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.batching import Batcher
from dce_tf.serving.model.browser_model import make_browser_models
from dce_tf.serving.model.embedding import GalleryEmbedder
from dce_tf.serving.model.predictor import Predictor
from dce_tf.serving.model.servable import Servable
from dce_tf.serving.model.version_policy import VersionPolicy
from dce_tf.serving.model.versions import Versions, versions_in
from dce_tf.serving.observing.logs import set_up_logs
from dce_tf.serving.observing.tracing import Tracing
from dce_tf.serving.search.collections import CollectionRoutes

LOGGERS = ("dce_tf.serving", "uvicorn.error", "grpc", "dce_tf.serving.requests")
SIZE = 8
DIM = 6
BOTH = VersionPolicy(frozenset({1, 2}))
KINDS = (
    *("float16", "bfloat16", "float32", "float64", "complex64", "bool", "string"),
    *("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64"),
)


class Tiny(tf.Module):
    """The signatures of the contract, and some that make other tensors."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = tf.Variable(float(version))

    def embed_images(self, images: Any) -> Any:
        colours = tf.reduce_mean(images, [1, 2])
        corners = images[:, 0, 0]
        return {"embedding": tf.math.l2_normalize(tf.concat([colours, corners], 1), 1)}

    def embed_bytes(self, image_bytes: Any) -> Any:
        return self.embed_images(self.read(image_bytes))

    def read(self, image_bytes: Any) -> Any:
        return tf.map_fn(
            lambda data: preprocessing.evaluation_image(
                preprocessing.decode(data), SIZE
            ),
            image_bytes,
            fn_output_signature=tf.TensorSpec((SIZE, SIZE, 3), tf.float32),
        )

    def explain(self, image_bytes: Any) -> Any:
        """Splits an embedding by quarters; the corner is of the first alone."""
        images = self.read(image_bytes)
        colours = tf.nn.avg_pool2d(images, SIZE // 2, SIZE // 2, "VALID") / 4
        at_first = tf.constant([[1.0, 0.0], [0.0, 0.0]])[None, :, :, None]
        corners = images[:, :1, :1] * at_first
        shares = tf.concat([colours, corners], -1)
        whole = tf.reduce_sum(shares, (1, 2), keepdims=True)
        return {"shares": shares / tf.norm(whole, axis=-1, keepdims=True)}

    def echo(self, x: Any) -> Any:
        return {"y": x + 0.0 * self.version, "version": x * 0 + self.version}

    def alike(self, x: Any) -> Any:
        return {"y": x}

    def mixed(self, count: Any, flag: Any, word: Any) -> Any:
        return {
            "count": count * 2,
            "flag": tf.logical_not(flag),
            "word": tf.strings.upper(word),
            "word_bytes": word,
        }

    def total(self, x: Any) -> Any:
        return {"total": tf.reduce_sum(x)}

    def joined(self, x: Any) -> Any:
        return {"joined": tf.strings.reduce_join(x)}

    def uneven(self, x: Any) -> Any:
        return {"one": tf.constant([1.0]), "x": x}

    def emptied(self, x: Any) -> Any:
        return {"none": tf.zeros([0, 2]) * self.version}

    def to_complex(self, x: Any) -> Any:
        return {"y": tf.cast(x, tf.complex64)}

    def examples(self, inputs: Any) -> Any:
        return {"y": inputs}

    def signatures(self) -> dict[str, Any]:
        def concrete(function: Any, **types: Any) -> Any:
            return tf.function(function).get_concrete_function(
                **{n: tf.TensorSpec(*spec, name=n) for n, spec in types.items()}
            )

        batch = (None,)
        same = {kind: concrete(self.alike, x=(batch, kind)) for kind in KINDS}
        return same | {
            "serving_default": concrete(
                self.embed_bytes, image_bytes=(batch, tf.string)
            ),
            "serve_tensor": concrete(
                self.embed_images, images=((None, SIZE, SIZE, 3), tf.float32)
            ),
            "explain": concrete(self.explain, image_bytes=(batch, tf.string)),
            "echo": concrete(self.echo, x=(batch, tf.float32)),
            "alike": concrete(self.alike, x=((None, None), tf.float32)),
            "mixed": concrete(
                self.mixed,
                count=((None, 2), tf.int32),
                flag=(batch, tf.bool),
                word=(batch, tf.string),
            ),
            "total": concrete(self.total, x=(batch, tf.float64)),
            "joined": concrete(self.joined, x=(batch, tf.string)),
            "uneven": concrete(self.uneven, x=(batch, tf.float32)),
            "emptied": concrete(self.emptied, x=(batch, tf.float32)),
            "to_complex": concrete(self.to_complex, x=(batch, tf.float32)),
            "examples": concrete(self.examples, inputs=(batch, tf.string)),
        }


@pytest.fixture(scope="session")
def tiny_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds versions 1 and 2 of a tiny model; copied, never served from."""
    folder = tmp_path_factory.mktemp("tiny")
    for version in (1, 2):
        model = Tiny(version)
        path = folder / str(version)
        tf.saved_model.save(model, str(path), signatures=model.signatures())
        (path / "assets.extra").mkdir()
        write_warmup(path / "assets.extra", SIZE)
    return folder


@pytest.fixture
def model_folder(tiny_versions: Path, tmp_path: Path) -> Path:
    """Holds version 1; `publish` adds others."""
    folder = tmp_path / "model"
    publish(tiny_versions, folder, 1)
    return folder


def publish(source: Path, folder: Path, version: int) -> None:
    folder.mkdir(exist_ok=True)
    hidden = folder / ".copying"
    shutil.copytree(source / str(version), hidden)
    hidden.rename(folder / str(version))


def picture(
    kind: str = "PNG", size: tuple[int, int] = (12, 10), seed: int = 0
) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


class GatedServable(Servable):
    """A model that waits until it is let go on."""

    def __init__(self, version: int, folder: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.running = threading.Semaphore(0)
        super().__init__(version, folder)

    def run(self, name: str, inputs: Any) -> Any:
        self.running.release()
        assert self.gate.wait(120)
        return super().run(name, inputs)


class Client:
    """Requests to an application in an event loop of its own."""

    def __init__(self, app: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://localhost"
        )

    def begin(
        self, method: str, url: str, **options: Any
    ) -> concurrent.futures.Future[httpx.Response]:
        request = self._client.request(method, url, **options)
        return asyncio.run_coroutine_threadsafe(request, self._loop)

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return self.begin(method, url, **options).result(60)

    def get(self, url: str, **options: Any) -> httpx.Response:
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        return self.request("POST", url, **options)

    def predict(self, body: Any = None, path: str = "", **options: Any) -> Any:
        if body is not None:
            options["json"] = body
        return self.post(f"/v1/models/embedder{path}:predict", **options)

    def call(self, function: Callable[[], Any]) -> None:
        self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Served:
    """A server without a network, and what it is made of."""

    def __init__(
        self,
        folder: Path,
        *,
        limits: Limits | None = None,
        token: str | None = None,
        access: Access | None = None,
        max_image_pixels: int = 10_000,
        max_request_pixels: int = 1_000_000,
        load: Callable[[int, Path], Servable] = Servable,
        versions: dict[str, Any] | None = None,
        collections: Sequence[Collection] = (),
        read_only: bool = False,
        browser_models: Path | None = None,
        tracing: Tracing | None = None,
        **batching: Any,
    ) -> None:
        find = functools.partial(versions_in, folder)
        self.versions = Versions("embedder", find, load=load, **(versions or {}))
        self.versions.poll()
        self.metrics = Metrics()
        self.batcher = Batcher(observe=self.metrics.record_batch, **batching)
        self.predictor = Predictor(
            self.versions,
            self.batcher,
            self.metrics,
            max_image_pixels=max_image_pixels,
            max_request_pixels=max_request_pixels,
            max_examples=(limits or Limits()).records,
        )
        self.limits = limits or Limits()
        self.budget = MemoryBudget(self.limits)
        self.bodies = Bodies(self.limits)
        self.health = Health()
        embedders = {}
        if browser_models:
            wanted = [each.fingerprint for each in collections]
            embedders = make_browser_models(self.versions, wanted, browser_models)
        self.routes = CollectionRoutes(
            collections,
            GalleryEmbedder(self.predictor),
            self.metrics,
            self.bodies,
            self.limits,
            read_only=read_only,
            browser_models=embedders,
        )
        self.app = build_app(
            self.predictor,
            self.routes,
            self.metrics,
            self.bodies,
            self.budget,
            health=self.health,
            access=access or Access(token=token),
            tracing=tracing,
        )
        self.client = Client(self.app)

    def listen(self, address: str = "127.0.0.1:0", **options: Any) -> GrpcServer:
        return GrpcServer(
            self.predictor, self.metrics, self.budget, self.bodies, address, **options
        )

    def servable(self) -> Any:
        return self.versions.available()[0]

    def close(self) -> None:
        self.client.close()
        self.routes.close()
        self.bodies.close()
        self.batcher.close()
        self.versions.close()


@pytest.fixture(scope="session")
def loaded(tiny_versions: Path) -> Callable[[int, Path], Servable]:
    """Gives the tiny versions, each loaded once for all tests."""
    return functools.cache(
        lambda version, _: Servable(version, tiny_versions / str(version))
    )


@pytest.fixture
def serve(
    model_folder: Path, loaded: Callable[[int, Path], Servable]
) -> Iterator[Callable[..., Served]]:
    """Makes servers of version 1."""
    running = []

    def start(**options: Any) -> Served:
        options = {"load": lambda version, _: loaded(version, Path()), **options}
        running.append(Served(model_folder, **options))
        return running[-1]

    yield start
    for served in running:
        served.close()


class Live:
    """A server at a port of this machine, in threads of this process."""

    def __init__(
        self, served: Served, *, drain_seconds: float = 5.0, **options: Any
    ) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            served.app,
            http=PatientProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=drain_seconds,
            **options,
        )
        self.server = GracefulServer(config, served.health, lame_duck_seconds=0.3)
        self.thread = threading.Thread(target=self.server.run, args=([listener],))
        self.thread.start()

    def say(self, *parts: bytes, end: bool = False) -> bytes:
        """Sends bytes over a connection of their own, and returns all that comes.

        With `end` it says that nothing more follows.
        """
        received = b""
        with (
            socket.create_connection(("127.0.0.1", self.port), 60) as spoken,
            contextlib.suppress(ConnectionError),
        ):
            for part in parts:
                spoken.sendall(part)
            if end:
                spoken.shutdown(socket.SHUT_WR)
            while chunk := spoken.recv(65536):
                received += chunk
        return received

    def end(self, number: int = signal.SIGTERM) -> None:
        self.server.handle_exit(number, None)

    def close(self) -> None:
        self.end(signal.SIGINT)
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def live(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Live]]:
    """Puts servers at ports, in which nothing fails that no request answers for."""
    running = []

    def start(served: Served, **options: Any) -> Live:
        running.append(Live(served, **options))
        return running[-1]

    yield start
    for each in running:
        each.close()
    lost = [
        record.getMessage()
        for when in ("setup", "call", "teardown")
        for record in caplog.get_records(when)
        if record.name == "asyncio" and record.levelno >= logging.ERROR
    ]
    assert not lost, lost


@pytest.fixture(scope="session")
def served(
    tiny_versions: Path, loaded: Callable[[int, Path], Servable]
) -> Iterator[Served]:
    """A server of versions 1 and 2 that tests only ask."""
    options = {"policy": BOTH, "labels": {"stable": 1, "canary": 2, "lost": 9}}
    served = Served(
        tiny_versions,
        versions=options,
        limits=Limits(records=30_000),
        load=lambda version, _: loaded(version, Path()),
    )
    yield served
    served.close()


@pytest.fixture(scope="session")
def client(served: Served) -> Client:
    return served.client


class Lines:
    """What was logged."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def texts(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.texts()]

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.objects() if "status" in line]


@pytest.fixture
def logged() -> Iterator[Callable[..., Lines]]:
    """Logs as the server does, into a string; then as before."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(each.handlers, each.propagate, each.level) for each in loggers]

    def start(log_format: str, *, access_log: bool = True) -> Lines:
        set_up_logs(log_format, access_log=access_log)
        lines = Lines()
        handler = loggers[0].handlers[0]
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(lines.stream)
        return lines

    yield start
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate, logger.disabled = handlers, propagate, False
        logger.setLevel(level)
