"""Is what a GPU computes right? Each check says pass or fail, with its number."""

from __future__ import annotations

import base64
import json
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu import machine
from benchmarks.gpu.program import Run, served, small_data
from benchmarks.gpu.results import Check

NO_GPU = "no GPU"
TOLERANCE = 1e-4
_ON_CPU = {"CUDA_VISIBLE_DEVICES": "-1"}


def memory_growth(cpu: bool) -> Iterator[Check]:
    """TensorFlow takes the memory it needs, not the whole card."""
    name, expected = "memory growth is on", "less than a quarter of the card"
    if cpu:
        yield Check(name, None, NO_GPU, expected)
        return
    import tensorflow as tf

    from dce_tf.config import RunSettings
    from dce_tf.runs import devices

    before = machine.used_mb()
    devices.configure(RunSettings(), "float32")
    tf.linalg.matmul(*(tf.random.normal((1024, 1024)) for _ in range(2))).numpy()
    taken, total = machine.used_mb() - before, machine.find_cards()[0].total_mb
    yield Check(name, taken < total / 4, f"{taken} of {total} MB", expected)


def faiss_results(cpu: bool) -> Iterator[Check]:
    """FAISS finds and clusters as float64 arithmetic says."""
    from dce_tf.clustering import fit_kmeans
    from dce_tf.retrieval import find_neighbours

    rng = np.random.default_rng(0)
    count = 2_000 if cpu else 60_000
    gallery = rng.normal(size=(count, 128)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    query = gallery[:200]
    _, found = find_neighbours(query, gallery, 10, exclude_self=False, backend="auto")
    exact = np.sort(2 - 2 * query.astype(np.float64) @ gallery.T.astype(np.float64))
    gap = float(np.abs(found - exact[:, :10]).max())
    yield Check(
        "FAISS searches exactly", gap < TOLERANCE, f"{gap:.1e}", f"< {TOLERANCE:.0e}"
    )
    centres = 4 * rng.normal(size=(8, 128))
    points = centres[rng.integers(8, size=count)] + rng.normal(size=(count, 128))
    points = points.astype(np.float32)
    result = fit_kmeans(points, 8, seed=0, backend="auto")
    near = _squared(points, result.centroids)
    gap = abs(result.objective / near.min(axis=1).sum() - 1)
    wrong = int((near.argmin(axis=1) != result.assignment).sum())
    yield Check(
        "k-means assigns to the nearest centroid",
        gap < TOLERANCE and not wrong,
        f"objective {gap:.1e} off, {wrong} of {count} elsewhere",
        f"< {TOLERANCE:.0e}, none",
    )


def _squared(
    points: npt.NDArray[np.float32], centroids: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    exact, means = points.astype(np.float64), centroids.astype(np.float64)
    lengths = (exact**2).sum(axis=1)[:, None] + (means**2).sum(axis=1)
    return np.maximum(lengths - 2 * exact @ means.T, 0)


def shared_card(cpu: bool) -> Iterator[Check]:
    """FAISS keeps to `--faiss_memory_mb` while TensorFlow has memory, too."""
    name, limit = "FAISS keeps to --faiss_memory_mb=256", 256
    expected = "at most 256 MB and what the vectors take"
    if cpu:
        yield Check(name, None, NO_GPU, expected)
        return
    import tensorflow as tf

    from dce_tf.clustering.faiss_backend import exact_index
    from dce_tf.config import RunSettings
    from dce_tf.runs import devices

    devices.configure(RunSettings(faiss_memory_mb=limit), "float32")
    held = tf.random.normal((256, 1024, 1024))  # 1 GB that must stay usable.
    vectors = np.random.default_rng(0).normal(size=(200_000, 128)).astype(np.float32)
    exact_index(8, "faiss-gpu").add(vectors[:8, :8].copy())  # Its own context.
    before = machine.used_mb()
    index = exact_index(128, "faiss-gpu")
    index.add(vectors)
    index.search(vectors[:100], 10)
    taken = machine.used_mb() - before
    allowed = limit + 2 * vectors.nbytes / 2**20
    finite = bool(tf.math.is_finite(tf.reduce_sum(held)))
    yield Check(name, finite and taken <= allowed, f"{taken} MB", expected)


def mirrored(cpu: bool) -> Iterator[Check]:
    """`MirroredStrategy` ends where one device ends."""
    import tensorflow as tf

    if cpu:
        device = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(device, two)
    kind = "CPU" if cpu else "GPU"
    names = [f"{kind}:{i}" for i in range(len(tf.config.list_logical_devices(kind)))]
    with tf.device(names[0]):
        alone = _trained(None)
    for count in sorted({1, 2, 4, len(names)}):
        name = f"MirroredStrategy over {count} {kind}s ends as one device does"
        expected = "weights within 1e-4"
        if count > len(names):
            yield Check(name, None, f"{len(names)} {kind}s", expected)
            continue
        together = _trained(tf.distribute.MirroredStrategy(names[:count]))
        gap = max(
            float(np.abs(a - b).max()) for a, b in zip(alone, together, strict=True)
        )
        yield Check(name, gap < TOLERANCE, f"{gap:.1e}", expected)


def _trained(strategy: Any) -> list[npt.NDArray[np.float32]]:
    """Returns the weights of a small network after some steps of SGD."""
    import contextlib

    import keras
    import tensorflow as tf

    from dce_tf.losses.multi_similarity import MultiSimilarityLoss
    from dce_tf.network.backbones import build_backbone
    from dce_tf.network.layers import DivideConquerEmbedding
    from dce_tf.network.model import EmbeddingModel
    from dce_tf.network.step import Step
    from dce_tf.training.optimizer import OPTIMIZERS, ParameterGroup
    from dce_tf.training.schedule import Schedule
    from dce_tf.training.step_loop import StepLoop
    from dce_tf.training.trainer import Trainer

    scope = strategy.scope() if strategy else contextlib.nullcontext()
    with scope:
        keras.utils.set_random_seed(0)
        model = EmbeddingModel(
            build_backbone("small"), DivideConquerEmbedding(16), dropout=0
        )
        model.build((None, 32, 32, 3))
        variables = model.trainable_variables
        optimizer = OPTIMIZERS.build("sgd", groups=[ParameterGroup(variables, 1e-3)])
        model.optimizer = optimizer
    loss = MultiSimilarityLoss()
    trainer = Trainer(
        StepLoop(
            model,
            Step(loss, optimizer),
            variables,
            strategy=strategy or tf.distribute.get_strategy(),
        )
    )
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (5, 16, 32, 32, 3)).astype(np.float32)
    labels = np.tile(np.arange(16, dtype=np.int32) // 4, (5, 1))
    batches = (images, labels, np.zeros_like(labels))
    trainer.set_data(tf.data.Dataset.from_tensor_slices(batches), 5)
    trainer.fit(Schedule(num_epochs=1, full_embedding_epoch=1, finetune_epoch=1), [])
    return [np.array(variable) for variable in variables]


def precision(cpu: bool) -> Iterator[Check]:
    """Half precision and XLA learn what float32 learns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"data_dir": small_data(folder), "export": False}
        expected = "recall@1 within 0.1 of float32"
        plain = Run(folder, "float32", **settings).finished().metrics()[-1]
        ways: dict[str, dict[str, Any]] = {
            "float16": {"mixed_precision": "float16"},
            "bfloat16": {"mixed_precision": "bfloat16"},
            "XLA": {"jit": True},
        }
        if cpu:
            ways = {"bfloat16 with XLA": ways["bfloat16"] | ways["XLA"]}
        for way, flags in ways.items():
            try:
                last = Run(folder, way, **settings, **flags).finished().metrics()[-1]
            except RuntimeError as error:
                yield Check(f"{way} trains", False, str(error), expected)
                continue
            gap = abs(last["recall@1"] - plain["recall@1"])
            found = f"{last['recall@1']:.3f}, float32 {plain['recall@1']:.3f}"
            yield Check(f"{way} trains", gap <= 0.1, found, expected)


def repeated(_: bool) -> Iterator[Check]:
    """A deterministic run repeats to the bit, and so does one that was killed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {
            "data_dir": small_data(folder),
            "deterministic": True,
            "num_epochs": 3,
            "checkpoint_every_steps": 2,
            "export": False,
        }
        first = Run(folder, "first", **settings).finished()
        again = Run(folder, "again", **settings).finished()
        same = first.untimed() == again.untimed()
        expected = "every metric and weight equal"
        found = "equal" if same and _same_weights(first, again) else "different"
        yield Check(
            "--deterministic repeats to the bit", found == "equal", found, expected
        )
        killed = Run(folder, "killed", **settings)
        killed.kill_after(2)
        killed.finished()
        same = killed.untimed() == first.untimed()
        found = "equal" if same and _same_weights(first, killed) else "different"
        yield Check(
            "a run killed with SIGKILL goes on exactly",
            found == "equal",
            found,
            expected,
        )


def _same_weights(one: Run, other: Run) -> bool:
    files = [
        sorted((run.path / "checkpoints").glob("epoch-*.npz")) for run in (one, other)
    ]
    if not files[0] or [f.name for f in files[0]] != [f.name for f in files[1]]:
        return False
    with np.load(files[0][-1]) as left, np.load(files[1][-1]) as right:
        names = [name for name in left.files if name.startswith("variable-")]
        return bool(names) and all(
            np.array_equal(left[name], right[name]) for name in names
        )


def export(_: bool) -> Iterator[Check]:
    """An export embeds alike on GPU and CPU, alone and behind `serve`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = Path(small_data(folder))
        run = Run(folder, "exported", data_dir=data).finished()
        files = [path.read_bytes() for path in sorted(data.rglob("*.png"))[:16]]
        from dce_tf.export.served import ServedModel

        (version,) = (run.path / "export").iterdir()
        here = ServedModel(version).embed(files)
        for place, environment in (("here", {}), ("on the CPU", _ON_CPU)):
            with served(run.path, environment) as url:
                there = _predict(url, files)
            cosine = float((here * there).sum(axis=1).min())
            yield Check(
                f"serve answers {place} as the SavedModel embeds",
                cosine > 0.999,
                f"cosine {cosine:.6f}",
                "> 0.999",
            )


def _predict(url: str, files: list[bytes]) -> npt.NDArray[np.float64]:
    instances = [{"b64": base64.b64encode(file).decode()} for file in files]
    request = urllib.request.Request(
        f"{url}/v1/models/embedder:predict",
        json.dumps({"instances": instances}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return np.asarray(json.load(answer)["predictions"], np.float64)


def out_of_memory(cpu: bool) -> Iterator[Check]:
    """A message about memory that runs out names a batch that may fit."""
    name, expected = "out of memory names a batch to try", "--batch_size=…"
    if cpu:
        yield Check(name, None, NO_GPU, expected)
        return
    import tensorflow as tf

    from dce_tf.config import RunSettings
    from dce_tf.runs import devices

    devices.configure(RunSettings(), "float32")
    spare = 3000  # MB left for the run, too little for the batch it asks for.
    held = [
        tf.zeros((256, 1024, 1024), tf.float32)
        for _ in range(max(0, (machine.free_mb() - spare) // 1024))
    ]
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        done = Run(
            folder,
            "large",
            data_dir=small_data(folder, each=40),
            backbone="resnet50(weights=None)",
            image_size=224,
            batch_size=160,
            num_clusters=1,
        ).finish()
    del held
    last = (done.stderr.strip().splitlines() or ["nothing was printed"])[-1]
    told = done.returncode == 1 and "try --batch_size=" in last
    yield Check(name, told, last[:200], expected)


CHECKS: dict[str, Callable[[bool], Iterator[Check]]] = {
    "memory_growth": memory_growth,
    "faiss_results": faiss_results,
    "shared_card": shared_card,
    "mirrored": mirrored,
    "precision": precision,
    "repeated": repeated,
    "export": export,
    "out_of_memory": out_of_memory,
}
