"""Train on a Hugging Face data set: python examples/hugging_face.py.

The one here is made on the spot; put `user/name` in its place for one of the Hub.
"""

import sys
from pathlib import Path

import datasets
import numpy as np

from dce_tf.config import Config
from dce_tf.runs.train import train

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "hugging_face").absolute()
rng = np.random.default_rng(0)
labels = rng.permutation(np.repeat(np.arange(12), 8))
pixels = (20 * labels[:, None, None, None] + rng.integers(0, 60, (96, 32, 32, 3))) % 256
features = datasets.Features(
    {
        "picture": datasets.Array3D((32, 32, 3), "uint8"),
        "kind": datasets.ClassLabel(names=[f"kind {number}" for number in range(12)]),
    }
)
rows = {"picture": pixels.astype(np.uint8), "kind": labels}
datasets.Dataset.from_dict(rows, features).to_parquet(folder / "train.parquet")

settings = {"backbone": "small", "image_size": 32, "num_epochs": 2, "num_clusters": 2}
report = train(
    Config(
        # A third of the classes is for the test.
        dataset=f"hf(path='{folder}', image=picture, label=kind, test_share=0.34)",
        log_dir=str(folder), overwrite=True, batch_size=16, val_fraction=0.4,
        export=False, **settings,
    )
)  # fmt: skip
print(
    f"recall@1 {report['before']['recall@1']:.2f} → {report['after']['recall@1']:.2f}"
)
