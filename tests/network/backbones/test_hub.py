"""Presets of KerasHub, from small ones saved to folders."""

import subprocess
import sys
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones import build_backbone
from dce_tf.network.backbones.blocks import (
    checkpoint_blocks,
    find_blocks,
    train_last_blocks,
)
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from tests.slow import rest_is_slow

SIZE = 32
SCALE, OFFSET = [1 / 64, 1 / 50, 1 / 40], [-2.0, -1.5, -1.0]
TRANSFORMER = {"num_layers": 3, "num_heads": 2, "hidden_dim": 16, "patch_size": 8}
SHAPE = {"image_shape": (SIZE, SIZE, 3)}


def networks() -> dict[str, tuple]:
    models, layers = keras_hub.models, keras_hub.layers
    dino = {**TRANSFORMER, **SHAPE, "intermediate_dim": 32}
    return {
        "vit": (
            models.ViTBackbone(mlp_dim=32, **TRANSFORMER, **SHAPE),
            layers.ViTImageConverter,
        ),
        "dinov2": (
            models.DINOV2Backbone(position_embedding_shape=(40, 40, 3), **dino),
            layers.DINOV2ImageConverter,
        ),
        "dinov3": (models.DINOV3Backbone(**dino), layers.DINOV3ImageConverter),
        "resnet": (
            models.ResNetBackbone([64], [3], [64, 64], [1, 1], [1, 2], "basic_block"),
            layers.ResNetImageConverter,
        ),
        "siglip": (_siglip(), layers.SigLIPImageConverter),
    }


def _siglip() -> keras.Model:
    from keras_hub.src.models.siglip.siglip_text_encoder import SigLIPTextEncoder
    from keras_hub.src.models.siglip.siglip_vision_encoder import SigLIPVisionEncoder

    sizes = {"hidden_dim": 16, "num_layers": 2, "num_heads": 2, "intermediate_dim": 32}
    vision = SigLIPVisionEncoder(patch_size=8, **sizes, **SHAPE)
    text = SigLIPTextEncoder(
        vocabulary_size=9, embedding_dim=16, max_sequence_length=4, **sizes
    )
    return keras_hub.models.SigLIPBackbone(vision, text)


@pytest.fixture(scope="module")
def presets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("presets")
    saved = {}
    for name, (network, converter) in networks().items():
        path = folder / name
        network.save_to_preset(path)
        converter(image_size=(SIZE, SIZE), scale=SCALE, offset=OFFSET).save_to_preset(
            path
        )
        saved[name] = (path, getattr(network, "vision_encoder", network))
    return saved


def spec(presets: dict[str, tuple], name: str) -> str:
    return f"hub(preset='{presets[name][0]}')"


def images(size: int = SIZE) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (2, size, size, 3)).astype(np.float32)


NAMES = ["vit", "dinov2", "dinov3", "resnet", "siglip"]


@pytest.mark.parametrize("name", NAMES)
def test_gives_what_the_preset_gives_for_scaled_pixels(presets, name: str) -> None:
    network = presets[name][1]
    scaled = images() * np.float32(SCALE) + np.float32(OFFSET)
    expected = network(keras.tree.map_structure(lambda _: scaled, network.input))
    for size in (None, SIZE):
        got = build_backbone(spec(presets, name), image_size=size)(images())
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", rest_is_slow(NAMES))
def test_any_image_size_and_back_from_a_file(presets, name: str, tmp_path) -> None:
    backbone = build_backbone(spec(presets, name), image_size=48)
    model = EmbeddingModel(backbone, DivideConquerEmbedding(8, 2))
    model.build((None, 48, 48, 3))
    for variable in model.trainable_variables:  # As after training.
        variable.assign_add(np.random.default_rng(1).normal(0, 0.02, variable.shape))
    expected = model(images(48))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images(48)), expected)


@pytest.mark.slow
def test_model_is_read_where_keras_hub_was_not_imported(presets, tmp_path) -> None:
    backbone = build_backbone(spec(presets, "vit"), image_size=SIZE)
    model = EmbeddingModel(backbone, DivideConquerEmbedding(8, 2))
    model.build((None, SIZE, SIZE, 3))
    model.save(tmp_path / "model.keras")
    code = (
        "import dce_tf.network.model, keras, sys; "
        "assert 'keras_hub' not in sys.modules; "
        f"keras.models.load_model({str(tmp_path / 'model.keras')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_table_of_places_is_resized_and_the_class_token_kept(presets) -> None:
    network = presets["vit"][1]
    old = next(w for w in network.weights if "position_embedding" in w.path).numpy()
    backbone = build_backbone(spec(presets, "vit"), image_size=64)
    new = next(w for w in backbone.weights if "position_embedding" in w.path).numpy()
    assert (old.shape, new.shape) == ((17, 16), (65, 16))
    np.testing.assert_array_equal(new[0], old[0])
    expected = tf.image.resize(old[1:].reshape(4, 4, 16), (8, 8), method="bicubic")
    np.testing.assert_allclose(new[1:].reshape(8, 8, 16), expected, atol=1e-6)


def test_size_that_cuts_a_patch_names_the_nearest(presets) -> None:
    with pytest.raises(ValueError, match=r"the 8 pixels of a patch.*--image_size=40"):
        build_backbone(spec(presets, "vit"), image_size=42)


def test_preset_that_cannot_be_had_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be had.*save_to_preset"):
        build_backbone(f"hub(preset='{tmp_path}/nothing')")


def test_preset_without_a_scale_asks_for_one(tmp_path: Path) -> None:
    networks()["resnet"][0].save_to_preset(tmp_path)
    with pytest.raises(ValueError, match=r"does not say how to scale pixels"):
        build_backbone(f"hub(preset='{tmp_path}')")
    model = build_backbone(f"hub(preset='{tmp_path}', preprocessing=tf)")
    assert model.get_layer("preprocess").mode == "tf"


def test_keras_hub_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(UsageError, match="pip install keras-hub"):
        build_backbone("hub(preset='dinov2_small')")


@pytest.mark.parametrize("name", ["vit", "dinov2", "dinov3", "siglip"])
def test_last_transformer_blocks_train(presets, name: str) -> None:
    backbone = build_backbone(spec(presets, name), image_size=SIZE)
    blocks = find_blocks(backbone)
    assert len(blocks) == (3 if name == "siglip" else 4)  # One is the embedding.
    train_last_blocks(backbone, 1)
    last = {id(v) for layer in blocks[-1] for v in layer.trainable_variables}
    assert {id(v) for v in backbone.trainable_variables} == last
    train_last_blocks(backbone, 0)
    assert backbone.trainable_variables == []


@pytest.mark.parametrize("pooling", ["avg", "max", "gem", "cls"])
def test_tokens_are_pooled(presets, pooling: str) -> None:
    backbone = build_backbone(spec(presets, "vit"), image_size=SIZE)
    model = EmbeddingModel(backbone, DivideConquerEmbedding(8), pooling=pooling)
    model.build((None, SIZE, SIZE, 3))
    tokens = backbone(images()).numpy()
    expected = {
        "avg": tokens.mean(axis=1),
        "max": tokens.max(axis=1),
        "gem": np.mean(np.maximum(tokens, 1e-6) ** 3, axis=1) ** (1 / 3),
        "cls": tokens[:, 0],
    }[pooling]
    np.testing.assert_allclose(model.features(images()), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", rest_is_slow(["vit", "dinov2", "dinov3", "siglip"]))
def test_checkpointing_gives_the_same_gradients_for_more_work(
    presets, name: str
) -> None:
    results = []
    for again in (False, True):
        backbone = build_backbone(spec(presets, name), image_size=SIZE)
        if again:
            checkpoint_blocks(backbone)

        @tf.function
        def step(backbone: keras.Model = backbone):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(backbone(images(), training=True)))
            gradients = tape.gradient(loss, backbone.trainable_variables)
            return [tf.convert_to_tensor(g) for g in gradients if g is not None]

        products = [
            op
            for op in step.get_concrete_function().graph.get_operations()
            if op.type in ("MatMul", "BatchMatMulV2", "Einsum")
        ]
        results.append((len(products), step()))
    assert results[1][0] > results[0][0], "nothing is computed again"
    assert len(results[0][1]) == len(results[1][1]) > 20
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_checkpointing_needs_blocks() -> None:
    with pytest.raises(UsageError, match="small has none"):
        checkpoint_blocks(build_backbone("small"))
