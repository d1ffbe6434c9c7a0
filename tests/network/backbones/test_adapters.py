"""Low-rank adapters: which layers get them, what trains, and plain layers after."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from safetensors import safe_open

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones import build_backbone
from dce_tf.network.backbones.adapters import (
    adapted_layers,
    add_adapters,
    merged_adapters,
    write_adapters,
)
from dce_tf.network.backbones.blocks import train_last_blocks
from dce_tf.network.backbones.folding import FoldedBackbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel, set_precision
from tests.network.backbones.test_folding import IMAGES, network, results
from tests.network.backbones.test_hub import SIZE, images, networks
from tests.slow import rest_is_slow

RANK = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Presets of KerasHub by name."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("presets")
    for name, (model, _) in networks().items():
        model.save_to_preset(folder / name)
    return folder


def preset(folder: Path, name: str) -> keras.Model:
    spec = f"hub(preset='{folder / name}', preprocessing=tf)"
    return build_backbone(spec, image_size=SIZE)


def train_somehow(model: keras.Model) -> None:
    """Moves what trains, as steps would."""
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape))


@pytest.mark.parametrize("name", rest_is_slow(["vit", "dinov2", "dinov3", "siglip"]))
def test_only_adapters_train_and_files_have_plain_layers(
    folder: Path, name: str, tmp_path: Path
) -> None:
    model = preset(folder, name)
    before, count = np.asarray(model(images())), len(model.variables)
    add_adapters(model, RANK)
    trained = model.trainable_variables
    assert {variable.name for variable in trained} == {"lora_kernel_a", "lora_kernel_b"}
    assert (
        len(trained) == len(model.variables) - count == 2 * len(adapted_layers(model))
    )
    np.testing.assert_array_equal(model(images()), before)
    train_somehow(model)
    after = np.asarray(model(images()))
    assert np.abs(after - before).max() > 0.01
    weights = [np.asarray(variable) for variable in model.variables]
    with merged_adapters(model):
        assert not adapted_layers(model)
        np.testing.assert_allclose(model(images()), after, rtol=1e-5, atol=1e-5)
        model.save(tmp_path / "plain.keras")
    for variable, value in zip(model.variables, weights, strict=True):
        np.testing.assert_array_equal(variable, value)
    np.testing.assert_array_equal(model(images()), after)
    plain = keras.models.load_model(tmp_path / "plain.keras")
    assert len(plain.variables) == count
    assert not adapted_layers(plain)
    np.testing.assert_allclose(plain(images()), after, rtol=1e-5, atol=1e-5)


def test_alpha_says_how_much_adapters_count() -> None:
    def change(alpha: float | None) -> np.ndarray:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8,)), layers.Dense(8)])
        x = np.ones((1, 8), np.float32)
        before = np.asarray(model(x))
        add_adapters(model, 2, alpha)
        train_somehow(model)
        found = np.asarray(model(x)) - before
        with merged_adapters(model):
            np.testing.assert_allclose(model(x) - before, found, atol=1e-6)
        return found

    np.testing.assert_allclose(change(6.0), 3 * change(None), rtol=1e-4)


def test_convolutions_of_one_pixel_have_adapters_also_where_norms_are_folded() -> None:
    model = network()
    add_adapters(model, RANK)
    assert [layer.name for layer in adapted_layers(model)] == ["short"]
    train_somehow(model)
    variables = model.trainable_variables
    maps, gradients = results(lambda x: model(x, training=False), variables)
    for training in (False, True):
        folded = FoldedBackbone(model)
        found, others = results(lambda x: folded(x, training), variables)  # noqa: B023
        np.testing.assert_allclose(found, maps, rtol=1e-4, atol=1e-5)
        for gradient, other in zip(gradients, others, strict=True):
            np.testing.assert_allclose(other, gradient, rtol=1e-3, atol=1e-4)
    with merged_adapters(model):
        np.testing.assert_allclose(
            model(IMAGES, training=False), maps, rtol=1e-4, atol=1e-5
        )


def dense(width: int = 8) -> keras.Model:
    images = x = keras.Input((width,))
    for name in ("block1", "block2"):
        x = layers.Dense(width, name=name)(x)
    return keras.Model(images, x)


def test_only_blocks_that_train_have_adapters() -> None:
    model = dense()
    train_last_blocks(model, 1)
    add_adapters(model, 2)
    assert [layer.name for layer in adapted_layers(model)] == ["block2"]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_kernels_keep_their_precision_in_a_file(precision: str) -> None:
    model = dense()
    set_precision(model, precision)
    add_adapters(model, 2)
    train_somehow(model)
    layer = model.layers[1]
    kernel, a, b = (
        np.asarray(v) for v in (layer._kernel, layer.lora_kernel_a, layer.lora_kernel_b)
    )
    with merged_adapters(model):
        np.testing.assert_allclose(layer._kernel, kernel + a @ b, rtol=0, atol=1e-7)


def test_adapters_alone_are_a_small_file(tmp_path: Path) -> None:
    model = dense(64)
    add_adapters(model, 2, alpha=4.0)
    train_somehow(model)
    write_adapters(model, tmp_path / "adapters.safetensors")
    assert (tmp_path / "adapters.safetensors").stat().st_size < 4 * 64 * 64
    with safe_open(tmp_path / "adapters.safetensors", "numpy") as stored:
        assert stored.metadata() == {"lora_rank": "2", "lora_alpha": "4.0"}
        assert sorted(stored.keys()) == [
            "0000/block1/lora_kernel_a",
            "0000/block1/lora_kernel_b",
            "0001/block2/lora_kernel_a",
            "0001/block2/lora_kernel_b",
        ]
        found = stored.get_tensor("0001/block2/lora_kernel_a")
    np.testing.assert_array_equal(found, model.layers[2].lora_kernel_a)


def test_order_is_that_of_the_backbone_in_any_model_around_it() -> None:
    backbone = dense()
    add_adapters(backbone, 2)
    model = EmbeddingModel(backbone, DivideConquerEmbedding(4))
    model.build((None, *backbone.input_shape[1:]))
    names = [layer.name for layer in backbone.layers if hasattr(layer, "lora_kernel_a")]
    assert len(names) > 1
    for each in (backbone, model):
        assert [layer.name for layer in adapted_layers(each)] == names


def test_what_takes_no_adapter_is_told_with_what_would() -> None:
    with pytest.raises(UsageError, match=r"adapts dense layers and 1×1 conv.*blocks=1"):
        add_adapters(build_backbone("small"), 4)
    frozen = dense()
    train_last_blocks(frozen, 0)
    with pytest.raises(UsageError, match="has none that trains"):
        add_adapters(frozen, 4)
    with pytest.raises(UsageError, match="Use at most --lora_rank=7"):
        add_adapters(dense(), 8)
    model = dense()
    add_adapters(model, 7)
    with pytest.raises(UsageError, match="has low-rank adapters already"):
        add_adapters(model, 7)
    images = keras.Input((4,))
    one_number = keras.Model(images, layers.Dense(1)(images))
    with pytest.raises(UsageError, match="has none that trains"):
        add_adapters(one_number, 1)
