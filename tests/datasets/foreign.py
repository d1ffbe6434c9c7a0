"""Tiny data sets in the forms of other libraries, made with those libraries."""

import functools
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.fakes import draw_image

# Not sorted, and one class more often than the others.
TRAIN = (4, 1, 4, 0, 1, 4, 0, 1, 0, 4)
TEST = (3, 2, 2, 3, 2)
NAMES = ("apple", "pear", "plum", "fig", "lime")


def jpeg(label: int, rng: np.random.Generator) -> bytes:
    buffer = io.BytesIO()
    draw_image(label, rng).save(buffer, "JPEG")
    return buffer.getvalue()


def samples(labels: tuple[int, ...], seed: int) -> list[tuple[bytes, int]]:
    rng = np.random.default_rng(seed)
    return [(jpeg(label, rng), label) for label in labels]


def contents(paths: tuple[str, ...]) -> list[bytes]:
    return [Path(path).read_bytes() for path in paths]


def write_hf(root: Path) -> Path:
    """Writes Parquet files with a column of images and one of class labels."""
    datasets = pytest.importorskip("datasets", reason="optional: pip install datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(NAMES)),
            "camera": datasets.Value("int64"),
        }
    )
    root.mkdir(parents=True, exist_ok=True)
    for split, labels in (("train", TRAIN), ("test", TEST)):
        rows = samples(labels, len(labels))
        part = datasets.Dataset.from_dict(
            {
                "image": [{"bytes": content, "path": None} for content, _ in rows],
                "label": [label for _, label in rows],
                "camera": [number % 2 for number in range(len(rows))],
            },
            features=features,
        )
        part.to_parquet(root / f"{split}.parquet")
    return root


def write_webdataset(root: Path) -> Path:
    """Writes tar shards: two of `train`, one of `test`."""
    root.mkdir(parents=True, exist_ok=True)
    train = samples(TRAIN, len(TRAIN))
    shards = {"train-0": train[:6], "train-1": train[6:]}
    shards["test-0"] = samples(TEST, len(TEST))
    number = 0
    for shard, rows in shards.items():
        with tarfile.open(root / f"{shard}.tar", "w") as tar:
            for content, label in rows:
                more = json.dumps({"fruit": NAMES[label]}).encode()
                name = f"{number:04}"
                _add(tar, f"{name}.jpg", content)
                _add(tar, f"{name}.cls", str(label).encode())
                _add(tar, f"{name}.json", more)
                number += 1
    return root


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    facts = tarfile.TarInfo(name)
    facts.size = len(content)
    tar.addfile(facts, io.BytesIO(content))


def write_tfds(root: Path) -> Path:
    """Defines a data set of TensorFlow Datasets, `tiny_fruit`, to be made in `root`."""
    _define_tiny_fruit()
    return root


@functools.cache
def _define_tiny_fruit() -> None:
    tfds = pytest.importorskip(
        "tensorflow_datasets", reason="optional: pip install tensorflow-datasets"
    )

    class TinyFruit(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(encoding_format="jpeg"),
                        "label": tfds.features.ClassLabel(names=list(NAMES)),
                    }
                )
            )

        def _split_generators(self, dl_manager: Any) -> Any:
            return {"train": self._generate(TRAIN), "test": self._generate(TEST)}

        def _generate_examples(self) -> Any:
            raise AssertionError("Each split has its own.")

        def _generate(self, labels: tuple[int, ...]) -> Any:
            for number, (content, label) in enumerate(samples(labels, len(labels))):
                yield number, {"image": io.BytesIO(content), "label": NAMES[label]}


def array_of(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)
