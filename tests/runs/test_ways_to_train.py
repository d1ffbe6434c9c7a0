"""Whole runs with each way to divide and to train: they learn, resume and export."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.models import load_model
from dce_tf.runs.train import train
from tests.runs.test_train import StopAfter, numbers

pytestmark = pytest.mark.slow

TOGETHER: dict[str, Any] = {"train": "learner+whole"}
WAYS: dict[str, dict[str, Any]] = {
    "classes, taught": {**TOGETHER, "divide": "classes", "teach": 1.0},
    "heads": {**TOGETHER, "parts": "heads", "head_dim": 24, "teach": 1.0},
    "nested": {**TOGETHER, "parts": "nested"},
    "all": {"train": "all+whole", "decorrelation": 0.5},
    "neighbours": {"sampler": "neighbours", "divide": "random"},
}


@pytest.mark.parametrize("way", WAYS)
def test_run_resumes_with_the_same_bits_and_exports(config: Config, way: str) -> None:
    settings = config.replace(deterministic=True, export=False, **WAYS[way])
    whole = settings.replace(exp="whole", export=True)
    report = train(whole)
    assert report["after"]["map@r"] > report["before"]["map@r"]
    with pytest.raises(KeyboardInterrupt):
        train(settings, callbacks=[StopAfter(1)])
    assert train(settings)["after"] == report["after"]
    assert numbers(RunDirectory.of(settings)) == numbers(RunDirectory.of(whole))
    run = RunDirectory.of(whole)
    exported = tf.saved_model.load(str(run.path / report["export"]))
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    images = images.astype(np.float32)
    found = exported.signatures["serve_tensor"](images=tf.constant(images))
    model = load_model(run.path)
    np.testing.assert_allclose(found["embedding"], model(images), atol=1e-5)


def test_export_leaves_out_what_only_trains(config: Config) -> None:
    settings = config.replace(
        num_epochs=2,
        full_embedding_epoch=None,
        finetune_epoch=None,
        stages="divide:1",
        **WAYS["heads"],
    )
    report = train(settings)
    folder = RunDirectory.of(settings).path / report["export"]
    kept = tf.train.list_variables(str(folder / "variables" / "variables"))
    shapes = [tuple(shape) for _, shape in kept]
    assert (256, 16) in shapes
    assert not [shape for shape in shapes if 48 in shape], "two heads of 24 numbers"
