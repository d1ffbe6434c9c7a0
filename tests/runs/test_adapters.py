"""Runs that train low-rank adapters."""

import contextlib
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.network.backbones import build_backbone
from dce_tf.network.backbones.adapters import adapted_layers, add_adapters
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs import devices
from dce_tf.runs.bookkeeping import stateful_variables
from dce_tf.runs.models import load_model
from dce_tf.runs.network import build_trainer
from dce_tf.runs.sources import find_source
from dce_tf.runs.train import train
from dce_tf.training.checkpoints import Checkpoints, RunProgress
from dce_tf.training.pipelines import FileReader
from tests.runs.test_train import StopAfter, numbers

RANK = 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_alpha": 4.0}, "Pass --lora_rank=8 too"),
        ({"lora_rank": 4, "trainable_blocks": 0}, "Leave one of the two out"),
        ({"lora_rank": 4, "freeze_batch_norm": False}, "the statistics of the backbon"),
    ],
)
def test_what_does_not_fit_adapters_is_told_at_once(
    settings: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Config(**settings)


def vit(folder: Path) -> str:
    keras.utils.set_random_seed(0)
    network = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3),
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        patch_size=8,
    )
    network.save_to_preset(folder / "vit")
    return f"hub(preset='{folder / 'vit'}', preprocessing=tf)"


def convolutions(folder: Path) -> str:
    """Saves a network like EfficientNet: convolutions of one pixel and of depth."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    images = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 127.5, -1)(images)
    x = layers.Conv2D(16, 3, 2, name="stem")(x)
    for name in ("block1", "block2"):
        x = layers.Conv2D(32, 1, use_bias=False, name=f"{name}_expand")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm")(x))
        x = layers.DepthwiseConv2D(3, name=f"{name}_depth")(x)
        x = layers.Conv2D(16, 1, name=f"{name}_project")(x)
    keras.Model(images, x).save(folder / "convolutions.keras")
    return str(folder / "convolutions.keras")


WAYS: dict[str, dict[str, Any]] = {
    "vit": {
        "ema": 0.9,
        "pooling": "cls",
        "head_epochs": 1,
        "lora_alpha": 4.0,
        "gradient_checkpointing": True,
    },
    "convolutions": {"layer_decay": 0.5, "micro_batch_size": 8},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_run_with_adapters_resumes_exactly_and_exports_plain_layers(
    config: Config, tmp_path: Path, way: str
) -> None:
    spec = {"vit": vit, "convolutions": convolutions}[way](tmp_path)
    settings = config.replace(
        deterministic=True,
        backbone=spec,
        lora_rank=RANK,
        backbone_lr=1e-2,
        export=False,
        keep_checkpoints=9,
        **WAYS[way],
    )
    whole = settings.replace(exp="whole", export=True)
    report = train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(settings, callbacks=[StopAfter(1)])
    assert train(settings)["after"] == report["after"]
    run = RunDirectory.of(whole)
    assert numbers(RunDirectory.of(settings)) == numbers(run)
    model = load_model(run.path)
    assert not adapted_layers(model)
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3))
    images = images.astype(np.float32)
    embedding = np.asarray(model(images))
    exported = tf.saved_model.load(str(run.path / report["export"]))
    served = exported.signatures["serve_tensor"](images=tf.constant(images))
    np.testing.assert_allclose(served["embedding"], embedding, atol=1e-5)
    # The backbone that the run began with, and the adapters alone, give the same.
    adapters = Checkpoints(run.checkpoints).adapters
    assert (
        adapters.stat().st_size < Checkpoints(run.checkpoints).best_model.stat().st_size
    )
    backbone = build_backbone(spec, image_size=32)
    add_adapters(backbone, RANK, settings.network.lora_alpha)
    stored = load_file(adapters)
    for number, layer in enumerate(adapted_layers(backbone)):
        for name in ("lora_kernel_a", "lora_kernel_b"):
            value = stored.pop(f"{number:04d}/{layer.name}/{name}")
            getattr(layer, name).assign(value)
    assert not stored
    model.backbone.set_weights(build_backbone(spec, image_size=32).get_weights())
    assert np.abs(np.asarray(model(images)) - embedding).max() > 1e-3, "they count"
    expected = backbone(images)
    maps = load_model(run.path).backbone(images)
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_checkpoint_of_a_run_with_adapters_is_scored_with_them(
    config: Config, tmp_path: Path, ema: float
) -> None:
    config = config.replace(
        backbone=convolutions(tmp_path), lora_rank=RANK, layer_decay=0.5, ema=ema
    )
    run = RunDirectory.of(config)
    run.prepare(config)
    trainer = build_trainer(config, np.full(5, 2), tf.distribute.get_strategy())
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save_best(trainer.model, epoch=0)
    checkpoints.publish_best(0)
    assert {path.name for path in run.checkpoints.iterdir()} == {
        "best.keras",
        "adapters.safetensors",
    }
    variables = [*trainer.model.variables]
    if ema:
        variables += trainer.average.variables
    for seed, variable in enumerate(variables):
        variable.assign(keras.random.uniform(variable.shape, seed=seed))
    checkpoints.save(RunProgress(epoch=0), stateful_variables(trainer))
    (path,) = run.checkpoints.glob("epoch-*.npz")
    embedder = find_source(path).open(config, FileReader())
    with trainer.average.in_place() if ema else contextlib.nullcontext():
        expected = [np.asarray(each) for each in trainer.model.variables]
    for got, wanted in zip(embedder.model.variables, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_adapters_train_in_mixed_precision(
    config: Config, tmp_path: Path, precision: str
) -> None:
    settings = config.replace(
        backbone=vit(tmp_path),
        lora_rank=RANK,
        mixed_precision=precision,
        num_epochs=2,
        full_embedding_epoch=1,
        finetune_epoch=1,
        export=False,
    )
    train(settings)
    model = load_model(RunDirectory.of(settings).path)
    assert not adapted_layers(model)


@pytest.mark.slow
def test_two_devices_train_adapters_as_one_does(
    config: Config,
    two_devices: tf.distribute.Strategy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = config.replace(
        backbone=vit(tmp_path),
        lora_rank=RANK,
        num_clusters=1,
        num_epochs=2,
        full_embedding_epoch=None,
        finetune_epoch=None,
        optimizer="sgd",
        dropout=0.0,
        ema=0.5,
        export=False,
    )
    one = settings.replace(exp="one")
    train(one)
    monkeypatch.setattr(devices, "make_strategy", lambda: two_devices)
    train(settings)
    lines = [RunDirectory.of(each).metrics()[1:] for each in (one, settings)]
    for a, b in zip(*lines, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-2)
