"""Embedding on a Ray cluster: Ray Data hands the parts of a job to actors."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# A thread of Ray Data that is still at work when the connection ends would else open
# another one, without this program's code.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
import ray
import ray.data
from ray._private import ray_constants
from ray.exceptions import ActorDiedError, RayError

import dce_tf
from dce_tf.base.errors import UsageError, first_line
from dce_tf.base.stores import Place
from dce_tf.config import Config
from dce_tf.embedding.image_list import Inputs
from dce_tf.embedding.image_table import ImageTable
from dce_tf.embedding.job import Job
from dce_tf.embedding.job_images import Embedded, embed_images
from dce_tf.export.served import ServedModel
from dce_tf.runs import devices

# How many parts an actor has been given: one in work, and the next.
_PARTS_AN_ACTOR = 2


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Where to embed.

    Attributes:
        address: Of a Ray cluster; None takes `RAY_ADDRESS`, or the one that runs on
            this machine, or starts one that ends with the job.
        num_actors: How many models embed at once; 0 takes one for each GPU, or one for
            each machine where there are none.
    """

    address: str | None = None
    num_actors: int = 0


@dataclasses.dataclass(frozen=True)
class _Shared:
    """What all actors of a job have in common; in each machine's memory once."""

    config: Config
    model: dict[str, bytes]
    root: Place
    images: ImageTable
    part_size: int
    max_image_pixels: int


class PartEmbedder:
    """An actor: one model, in a process of its own.

    Args:
        shared: A list of one, so that Ray does not look into it, of where the
            `_Shared` lies.
    """

    def __init__(self, shared: list[ray.ObjectRef]) -> None:
        self._job: _Shared = ray.get(shared[0])
        self._model: ServedModel | None = None

    def _load(self) -> ServedModel:
        config = self._job.config
        devices.configure(config.run, config.network.mixed_precision)
        with tempfile.TemporaryDirectory() as folder:
            _unpack(self._job.model, Path(folder))
            return ServedModel(
                Path(folder),
                batch_size=config.data.evaluation_batch_size,
                num_workers=config.data.num_workers,
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Embeds one part.

        Args:
            batch: The `number` of the part.

        Returns:
            Each in a list of one: the `number`, the `vectors`, the `places` and their
            `shape`, the `bad` ones as JSON, and the `failure`, which Ray would tell as
            pages of traceback.
        """
        (number,) = batch["number"].tolist()
        job, failure, vectors, bad, places = self._job, "", b"", {}, None
        images = Inputs(job.root, job.images)
        try:
            # Here and not as the actor begins, whose failures Ray reports worse.
            self._model = self._model or self._load()
            found = embed_images(
                self._model,
                images.range(number * job.part_size, (number + 1) * job.part_size),
                max_image_pixels=job.max_image_pixels,
            )
            vectors, bad, places = found.vectors.tobytes(), found.bad, found.places
        except Exception as error:
            failure = f"{first_line(error)} ({type(error).__name__})"
        return {
            "number": [number],
            "vectors": [vectors],
            "places": [b"" if places is None else places.tobytes()],
            "shape": [json.dumps(None if places is None else places.shape)],
            "bad": [json.dumps(bad)],
            "failure": [failure],
        }


def embed_on_ray(
    job: Job,
    numbers: Sequence[int],
    told: Callable[[int], None],
    *,
    config: Config,
    cluster: Cluster,
) -> Generator[tuple[int, Embedded], None, None]:
    """Is the engine of a cluster: see `embedding.Engine`.

    The list of images and the model travel to the actors; the embeddings come back, and
    are written by this process. So only the images must be where every machine finds
    them. What a lost machine had in work is done again by another.

    Args:
        job: What is to be done.
        numbers: Which of its parts.
        told: Told of how many images are done.
        config: Of the actors: devices, batch size, threads.
        cluster: Where.

    Raises:
        UsageError: If there is no such cluster.
        ValueError: If an actor failed.
    """
    if not numbers:
        return
    with _connected(cluster.address):
        gpus = int(ray.cluster_resources().get("GPU", 0))
        machines = sum(node["Alive"] for node in ray.nodes())
        shared = _Shared(
            config,
            _pack(job.model.folder),
            job.inputs.root,
            ImageTable.of(job.own.images),
            job.part_size,
            job.max_image_pixels,
        )
        # No tasks of its own: where actors hold all processors, they would never run.
        parts = ray.data.from_items(
            [{"number": number} for number in numbers],
            override_num_blocks=len(numbers),
        )
        done = parts.map_batches(
            PartEmbedder,
            batch_size=1,
            fn_constructor_args=([ray.put(shared)],),
            compute=ray.data.ActorPoolStrategy(
                size=min(cluster.num_actors or gpus or machines, len(numbers)),
                max_tasks_in_flight_per_actor=_PARTS_AN_ACTOR,
            ),
            **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
        )
        for row in _rows(done):
            bad = {int(place): why for place, why in json.loads(row["bad"]).items()}
            vectors = np.frombuffer(row["vectors"], np.float32)
            vectors = vectors.reshape(-1, job.model.embedding_dim)
            told(len(vectors) + len(bad))
            places, shape = None, json.loads(row["shape"])
            if shape is not None:
                places = np.frombuffer(row["places"], np.int8).reshape(shape)
            yield row["number"], Embedded(vectors, bad, places)


def _rows(done: ray.data.Dataset) -> Iterator[dict[str, Any]]:
    try:
        # Closed, what is still at work ends before the connection does.
        with contextlib.closing(iter(done.iter_rows())) as rows:
            for row in rows:
                if row["failure"]:
                    raise _failed(row["failure"])
                yield row
    except RayError as error:
        # That one began badly is reported at the end of a long message.
        lines = str(error).strip().splitlines()
        raise _failed(lines[-1 if isinstance(error, ActorDiedError) else 0]) from error


def _failed(reason: str) -> ValueError:
    return ValueError(
        f"An actor failed: {reason.strip(' .')}. What is done is kept; the same "
        "command goes on."
    )


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Is connected to a cluster; one that was there before stays."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with contextlib.ExitStack() as stack:
        try:
            _join_or_start(address or os.environ.get("RAY_ADDRESS"), stack)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"--ray_address={address}: no cluster answers ({first_line(error)}). "
                "Start one with `ray start --head`, or leave the flag out."
            ) from error
        stack.callback(ray.shutdown)
        _be_quiet()
        yield


def _join_or_start(address: str | None, stack: contextlib.ExitStack) -> None:
    """Joins the cluster that is named or runs on this machine, or starts one."""
    if address is not None and address != "local":
        _join(address)
        return
    if address is None:
        with contextlib.suppress(ConnectionError):
            _join("auto")
            return
    stack.enter_context(_loopback())
    _join("local")


def _join(address: str) -> None:
    ray.init(
        address,
        # So that every machine has the code of this one.
        runtime_env={"py_modules": [dce_tf]},
        logging_level=logging.WARNING,
        log_to_driver=False,
    )


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Keeps a cluster that Ray starts here from listening to other machines.

    Ray asks each process for a token, too, as it does by default from 2.59 on. It has
    no public switch for the address; this is what it does on Windows and macOS.
    """
    # It warns that it asks for a token.
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
    before, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # For its processes.
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        del os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR]


def _be_quiet() -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    # It warns that there are no progress bars.
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)


def _pack(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _unpack(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
