"""The parts of the stand-in that compute: the same numbers as ours."""

# ruff: noqa: E402

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="PyTorch is in requirements-benchmarks.txt, which CI leaves out"
)

import tensorflow as tf

from benchmarks.reference import networks, weights
from benchmarks.reference.data import Split, cluster_loaders, take_turns
from benchmarks.reference.loss import MarginLoss as TheirLoss
from benchmarks.reference.scoring import recall_at_1
from dce_tf.losses.margin import MarginLoss
from dce_tf.network.backbones import build_backbone
from dce_tf.network.backbones.resnet50 import load_torchvision
from dce_tf.retrieval import evaluate_retrieval
from tests import fakes
from tests.benchmarks.test_reference import batch


def same_features(ours: object, theirs: object, size: int) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3))
    images = images.astype(np.float32)
    with torch.no_grad():
        found = theirs.eval()(torch.from_numpy(images).permute(0, 3, 1, 2))
    expected = ours(images, training=False).numpy()
    np.testing.assert_allclose(found.permute(0, 2, 3, 1), expected, atol=2e-4)


def test_loss_and_its_gradient_are_those_of_ours() -> None:
    embedding, labels = batch(classes=8)
    variable = tf.Variable(embedding)
    with tf.GradientTape() as tape:
        ours = MarginLoss()(variable, labels)
    tensor = torch.from_numpy(embedding).requires_grad_()
    theirs = TheirLoss()(tensor, torch.from_numpy(labels))
    theirs.backward()
    assert float(ours) > 0.1
    assert theirs.item() == pytest.approx(float(ours), rel=1e-5)
    ours_gradient = tape.gradient(ours, variable).numpy()
    # Ours takes unit length for granted: along the vector itself they differ.
    flat = [
        gradient - (gradient * embedding).sum(1, keepdims=True) * embedding
        for gradient in (ours_gradient, tensor.grad.numpy())
    ]
    np.testing.assert_allclose(*flat, atol=1e-5)


@pytest.mark.parametrize("size", [32, 57])
def test_small_is_the_network_of_ours(size: int) -> None:
    ours, theirs = build_backbone("small"), networks.Small()
    weights.load_arrays(theirs, weights.keras_arrays(ours))
    same_features(ours, theirs, size)


@pytest.mark.slow
def test_resnet50_is_the_network_of_ours() -> None:
    ours, theirs = build_backbone("resnet50(weights=None)"), networks.ResNet50()
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    load_torchvision(ours, state)
    same_features(ours, theirs, 65)


@pytest.mark.slow
def test_efficientnet_lite0_is_the_network_of_the_file(
    shared: Path, tmp_path: Path
) -> None:
    file = shared / "weights" / "efficientnet_lite0.keras"
    ours, theirs = build_backbone(str(file)), networks.EfficientNetLite0()
    weights.save_keras(ours, tmp_path / "weights.npz")
    weights.load_arrays(theirs, weights.read_arrays(tmp_path / "weights.npz"))
    same_features(ours, theirs, 96)


def test_weights_of_another_network_are_refused() -> None:
    arrays = weights.keras_arrays(build_backbone("small"))
    with pytest.raises(ValueError, match="same network"):
        weights.load_arrays(networks.Small(), arrays[:-1])


def test_slices_are_of_unit_length_and_of_equal_weight() -> None:
    model = networks.Embedder(networks.Small(), 12, 3).eval()
    images = torch.rand(2, 3, 32, 32) * 255
    part, whole = model(images, learner=1), model(images)
    torch.testing.assert_close(part.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(whole[:, 4:8] * 3**0.5, part)


def test_batch_norm_keeps_its_statistics_in_training() -> None:
    backbone = networks.EfficientNetLite0()
    model = networks.Embedder(backbone, 4).train()
    before = backbone.stem[1].running_mean.clone()
    model(torch.rand(2, 3, 32, 32) * 255)
    assert torch.equal(backbone.stem[1].running_mean, before)


def test_recall_is_that_of_ours() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 6)).astype(np.float32)
    labels = rng.integers(8, size=60)
    query, gallery = torch.from_numpy(vectors[:20]), torch.from_numpy(vectors[20:])
    theirs = recall_at_1(
        query, torch.from_numpy(labels[:20]), gallery, torch.from_numpy(labels[20:])
    )
    ours = evaluate_retrieval(vectors[:20], labels[:20], vectors[20:], labels[20:])
    assert theirs == pytest.approx(ours["recall@1"])
    everything = torch.from_numpy(vectors), torch.from_numpy(labels)
    ours = evaluate_retrieval(vectors, labels, vectors, labels, leave_one_out=True)
    theirs = recall_at_1(*everything, *everything)
    assert theirs == pytest.approx(ours["recall@1"])


def test_clusters_take_turns_and_small_ones_start_over() -> None:
    split = Split([""] * 30, [0, 1] * 15)
    numbers = torch.utils.data.TensorDataset(torch.arange(30), torch.tensor([0] * 30))
    loaders = cluster_loaders(
        numbers, split, [list(range(20)), [], list(range(20, 30))], 4, 2, 0
    )
    turns = [number for number, _, _ in take_turns(loaders)]
    assert turns == [0, 2] * 5
    assert len(list(take_turns(loaders, 3))) == 3
    for number, rows, _ in take_turns(loaders):
        assert ((rows < 20) == (number == 0)).all()


@pytest.mark.slow
def test_program_learns(tmp_path: Path) -> None:
    fakes.write_csv(tmp_path, 8, 12, 32, ("train", "query", "gallery"))
    flags = {
        "data_dir": tmp_path,
        "backbone": "small",
        "image_size": 32,
        "num_clusters": 2,
        "num_epochs": 2,
        "full_embedding_epoch": 1,
        "finetune_epoch": 1,
        "batch_size": 16,
        "num_workers": 0,
        "steps": "[3, 4]",
    }
    command = [sys.executable, "-m", "benchmarks.reference"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    facts = json.loads(done.stdout)
    assert facts["trained"] == 7 * 16
    assert facts["embedded"] == 96 + 2 * 192
    assert len(facts["recall@1"]) == 3
    assert len(facts["seconds"]) == 2
