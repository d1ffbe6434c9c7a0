import inspect
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.applications import imagenet_utils

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones import (
    BACKBONES,
    applications,
    build_backbone,
    check_backbone,
)
from dce_tf.network.backbones.blocks import find_blocks, train_last_blocks
from dce_tf.network.layers import DivideConquerEmbedding, ImageNetPreprocessing
from dce_tf.network.model import EmbeddingModel, set_precision

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)


def fail_offline(*args: object, **kwargs: object) -> None:
    raise OSError("no network")


def test_small_is_the_network_of_the_contract() -> None:
    model = build_backbone("small")
    kinds = [type(layer).__name__ for layer in model.layers[2:]]
    assert kinds == ["Conv2D", "GroupNormalization", "ReLU", "MaxPooling2D"] * 4
    convolutions = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert [layer.filters for layer in convolutions] == [32, 64, 128, 256]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert {layer.groups for layer in model.layers if "norm" in layer.name} == {8}
    assert model(IMAGES).shape == (2, 4, 4, 256)


def test_every_keras_application_has_a_name() -> None:
    names = [n for n, f in vars(keras.applications).items() if callable(f)]
    assert len(names) > 30
    known = {name.lower() for name in names} - {"resnet50"} | {"keras_resnet50"}
    assert known <= set(BACKBONES)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_preprocessing_is_that_of_keras(mode: str) -> None:
    expected = imagenet_utils.preprocess_input(IMAGES.copy(), mode=mode)
    np.testing.assert_allclose(ImageNetPreprocessing(mode)(IMAGES), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "module"),
    [
        ("mobilenetv2", keras.applications.mobilenet_v2),
        ("keras_resnet50", keras.applications.resnet),
        ("efficientnetb0", keras.applications.efficientnet),
        ("densenet121", keras.applications.densenet),
    ],
)
def test_application_takes_raw_pixels(spec: str, module: object) -> None:
    model = build_backbone(f"{spec}(weights=None)")
    network = model.layers[-1]
    expected = network(module.preprocess_input(IMAGES.copy()))
    np.testing.assert_allclose(model(IMAGES), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("MobileNetV2", 300),
        ("MobileNetV3Small", 75),
        *(
            pytest.param(name, size, marks=pytest.mark.slow)
            for name, sizes in {
                "EfficientNetB0": (224, 240, 300),
                "EfficientNetB3": (300,),
                "MobileNetV2": (224, 240),
                "MobileNetV3Large": (224, 240, 300),
                "NASNetMobile": (224,),
                "DenseNet121": (240,),
            }.items()
            for size in sizes
        ),
    ],
)
def test_application_is_the_network_that_keras_builds_at_that_size(
    name: str, size: int
) -> None:
    known_as = f"{name.lower()}(weights=None)"
    backbone = build_backbone(known_as, image_size=size).layers[-1]
    expected = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    expected.set_weights(backbone.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (1, size, size, 3))
    images = images.astype(np.float32)
    np.testing.assert_array_equal(backbone(images), expected(images))


def test_no_network_that_pads_by_its_size_is_left_open() -> None:
    found = {
        module.rpartition(".")[2]
        for _, constructor in inspect.getmembers(keras.applications, inspect.isfunction)
        if "correct_pad(" in inspect.getsource(sys.modules[constructor.__module__])
        for module in [constructor.__module__]
    }
    assert found == set(applications._FOR_ONE_SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nasnetmobile", "nasnetlarge"])
def test_nasnet_asks_for_its_weights(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Keras refuses to load them into a network of an open size.
    monkeypatch.setattr(
        "keras.src.applications.nasnet.file_utils.get_file", fail_offline
    )
    with pytest.raises(ValueError, match=r"'imagenet' of NASNet.*: no network\. Keras"):
        build_backbone(name, image_size=64)


def test_size_below_the_least_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--image_size=31: mobilenetv2 .* 32 pixels"):
        build_backbone("mobilenetv2(weights=None)", image_size=31)


def test_images_of_another_size_than_the_network_is_built_for_are_refused() -> None:
    backbone = build_backbone("mobilenetv2(weights=None)", image_size=64)
    for frozen in (True, False):
        model = EmbeddingModel(
            backbone, DivideConquerEmbedding(8, 2), freeze_batch_norm=frozen
        )
        model.build((None, 64, 64, 3))
        assert model.features(IMAGES).shape == (2, 1280)
        with pytest.raises(ValueError, match=r"images of 64 × 64 .* images of 63 × 64"):
            model.features(IMAGES[:, 1:])


@pytest.mark.slow
def test_application_survives_saving(tmp_path: Path) -> None:
    model = EmbeddingModel(
        build_backbone("mobilenetv2(weights=None)"), DivideConquerEmbedding(8, 2)
    )
    model.build((None, 64, 64, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


def test_weights_that_cannot_be_had_say_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(
        "keras.src.applications.mobilenet_v2.file_utils.get_file", fail_offline
    )
    with pytest.raises(ValueError, match=r"no network.*~/.keras/models.*weights=None"):
        build_backbone("mobilenetv2")


def test_file_with_weights_of_another_application_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v3.weights.h5"
    build_backbone("mobilenetv3small(weights=None)").layers[-1].save_weights(path)
    with pytest.raises(ValueError, match=r"v3.weights.h5 does not hold .*MobileNetV2"):
        build_backbone(f"mobilenetv2(weights='{path}')")
    with pytest.raises(UsageError, match=r"mobilenetv2\(.*no.h5'\): there is no such"):
        build_backbone(f"mobilenetv2(weights='{tmp_path}/no.h5')")


def test_file_is_loaded_with_its_weights(tmp_path: Path) -> None:
    small = build_backbone("small")
    path = tmp_path / "backbone.keras"
    small.save(path)
    check_backbone(str(path))
    np.testing.assert_array_equal(build_backbone(str(path))(IMAGES), small(IMAGES))


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.keras"
    path.write_bytes(b"no zip archive")
    with pytest.raises(
        ValueError, match=re.escape(f"--backbone={path}: cannot be read")
    ):
        build_backbone(str(path))


def test_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dense.keras"
    keras.Sequential([keras.Input((7,)), keras.layers.Dense(3)]).save(path)
    with pytest.raises(ValueError, match=r"expected one input .* found \(None, 7\)"):
        build_backbone(str(path))


def test_missing_file_and_unknown_name_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        check_backbone("nowhere.keras")
    with pytest.raises(UsageError, match="Did you mean 'mobilenetv2'"):
        check_backbone("mobilenetv22")


def test_real_photographs_network_loads(shared: Path) -> None:
    model = build_backbone(str(shared / "weights" / "efficientnet_lite0.keras"))
    assert model(IMAGES).shape == (2, 2, 2, 1280)


def test_precision_reaches_the_layers_of_a_loaded_model(tmp_path: Path) -> None:
    build_backbone("small").save(tmp_path / "backbone.keras")
    model = build_backbone(str(tmp_path / "backbone.keras"))
    set_precision(model, "mixed_bfloat16")
    result = model(IMAGES)
    assert result.dtype == "bfloat16"
    assert {v.dtype for v in model.variables} == {"float32"}


@pytest.mark.parametrize(
    ("spec", "count", "first", "last"),
    [
        ("small", 4, "block0_conv", "block3_norm"),
        ("resnet50(weights=None)", 18, "conv1", "layer4_block2_bn3"),
        ("vgg16(weights=None)", 5, "block1_conv1", "block5_conv3"),
        ("mobilenetv2(weights=None)", 22, "Conv1", "Conv_1_bn"),
    ],
)
def test_blocks_share_a_numbered_name(
    spec: str, count: int, first: str, last: str
) -> None:
    blocks = find_blocks(build_backbone(spec))
    assert len(blocks) == count
    assert blocks[0][0].name == first
    assert blocks[-1][-1].name == last


def test_only_the_last_blocks_train() -> None:
    model = build_backbone("small")
    train_last_blocks(model, None)
    assert len(model.trainable_variables) == 16
    train_last_blocks(model, 2)
    names = {variable.path.split("/")[-2] for variable in model.trainable_variables}
    assert names == {"block2_conv", "block2_norm", "block3_conv", "block3_norm"}
    with pytest.raises(UsageError, match="at most --trainable_blocks=4"):
        train_last_blocks(model, 5)
