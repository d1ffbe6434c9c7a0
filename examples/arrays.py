"""Train on arrays, which no file holds yet: python examples/arrays.py."""

import sys
from pathlib import Path

import numpy as np

from dce_tf.config import Config
from dce_tf.datasets.stored import store_images
from dce_tf.runs.train import train


def draw(label: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a picture of a class: its own colour, with noise, uint8 (32, 32, 3)."""
    colour = np.random.default_rng(label).uniform(40, 215, 3)
    return rng.normal(colour, 30, (32, 32, 3)).clip(0, 255).astype(np.uint8)


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "arrays")
rng = np.random.default_rng(0)
labels = rng.permutation(np.repeat(np.arange(12), 8))
images = np.stack([draw(label, rng) for label in labels])
seen = labels < 8  # The test is on classes that training never sees.

splits = {"train": (images[seen], labels[seen]), "test": (images[~seen], labels[~seen])}
data = store_images(folder / "data", overwrite=True, **splits)
settings = {"backbone": "small", "image_size": 32, "num_epochs": 2, "num_clusters": 2}
report = train(
    Config(
        dataset="csv", data_dir=data, log_dir=str(folder), overwrite=True,
        batch_size=16, val_fraction=0.4, export=False, **settings,
    )
)  # fmt: skip
print(
    f"recall@1 {report['before']['recall@1']:.2f} → {report['after']['recall@1']:.2f}"
)
