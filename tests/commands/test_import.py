"""Checkpoints of the authors' programs, against their embedding in NumPy."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from dce_tf import cli
from tests.network.backbones.test_resnet50 import by_loop, make_tensors

IMAGE = np.random.default_rng(1).uniform(0, 255, (64, 64, 3))


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    drawn = {
        "embedding.weight": rng.normal(0, 0.02, (8, 2048)),
        "embedding.bias": rng.normal(0, 0.1, 8),
    }
    return {**make_tensors(), **{k: v.astype(np.float32) for k, v in drawn.items()}}


def projected(tensors: dict[str, np.ndarray]) -> np.ndarray:
    features = by_loop(IMAGE, tensors).mean(axis=(1, 2))
    return tensors["embedding.weight"] @ features + tensors["embedding.bias"]


def imported(path: Path, tensors: dict[str, np.ndarray], *words: str) -> keras.Model:
    save_file(tensors, path)
    assert cli.main(["import", str(path), *words]) == 0
    return keras.models.load_model(path.with_suffix(".keras"), compile=False)


@pytest.mark.slow
def test_2019_scales_each_slice(tmp_path: Path, tensors, capsys) -> None:
    path = tmp_path / "model.safetensors"
    model = imported(path, tensors, "--num_clusters=4")
    slices = projected(tensors).reshape(4, 2)
    expected = slices / np.linalg.norm(slices, axis=1, keepdims=True) / 2
    got = model(IMAGE[None].astype(np.float32))[0]
    np.testing.assert_allclose(got, expected.ravel(), atol=2e-3)
    exported = ["export", str(path.with_suffix(".keras"))]
    assert cli.main(exported) == 2
    assert "--image_size=224" in capsys.readouterr().err
    assert cli.main([*exported, "--image_size=64"]) == 0
    served = tf.saved_model.load(str(tmp_path / "model-export" / "1"))
    images = tf.constant(IMAGE[None], tf.float32)
    again = served.signatures["serve_tensor"](images=images)["embedding"][0]
    np.testing.assert_allclose(again, got, atol=1e-5)


@pytest.mark.slow
def test_2021_scales_the_whole_and_keeps_the_masks(tmp_path: Path, tensors) -> None:
    masks = np.random.default_rng(2).normal(0.5, 1, (12, 8)).astype(np.float32)
    named = {f"masks.{i}": mask for i, mask in enumerate(masks)}
    model = imported(tmp_path / "model.safetensors", {**tensors, **named})
    whole = projected(tensors)
    got = model(IMAGE[None].astype(np.float32))[0]
    np.testing.assert_allclose(got, whole / np.linalg.norm(whole), atol=2e-3)
    np.testing.assert_array_equal(model.embedding.masks, masks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer3.6.conv1.weight": (256, 1024, 1, 1)}, "1 belong to another network"),
        ({"embedding.1.weight": (8, 8)}, "another network (embedding.1.weight)"),
        ({"masks.0": (8,), "masks.2": (8,)}, "1 are missing (masks.1)"),
        ({"masks.0": (7,)}, "masks.0 has the shape (7,); expected (8,)"),
        ({"embedding.weight": (8, 512)}, "shape (8, 512); expected (8, 2048)"),
        ({"embedding.bias": (2,)}, "embedding.bias has the shape (2,); expected (8,)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_checkpoint_of_another_network_is_refused(
    changes: dict[str, tuple], message: str, tmp_path: Path, tensors, capsys
) -> None:
    path = tmp_path / "model.safetensors"
    drawn = {name: np.ones(shape, np.float32) for name, shape in changes.items()}
    save_file({**tensors, **drawn}, path)
    assert cli.main(["import", str(path), "--num_clusters=1"]) == 1
    error = capsys.readouterr().err
    assert f"Error: {path}: " in error
    assert message in error
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_says_what_is_missing(tmp_path: Path, tensors, capsys) -> None:
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    masked = tmp_path / "masked.safetensors"
    save_file({**tensors, "masks.0": np.ones(8, np.float32)}, masked)
    bare = tmp_path / "bare.safetensors"
    save_file({k: v for k, v in tensors.items() if "embedding" not in k}, bare)
    for words, code, message in (
        ([str(path)], 2, "such as --num_clusters=8"),
        ([str(path), "--num_clusters=3"], 2, "does not divide its 8"),
        ([str(masked), "--num_clusters=3"], 2, "the file has 1 masks"),
        ([str(bare)], 1, "no embedding.bias and no embedding.weight"),
        ([str(tmp_path / "nowhere.pt")], 2, "there is no such file"),
        ([str(path), "--num_clusters=4", "--output=a.h5"], 2, "ends in .keras"),
        ([], 2, "Expected one checkpoint file"),
    ):
        assert cli.main(["import", *words]) == code
        assert message in capsys.readouterr().err
