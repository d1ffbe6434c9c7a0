"""What people give as a .keras file, and what they are told."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.network.backbones import build_backbone, check_backbone
from dce_tf.network.backbones.model_file import read_model
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from tests.slow import rest_is_slow

layers = keras.layers


def network(
    shape: tuple = (None, None, 3), *, end: Callable | None = None, inputs: int = 1
) -> keras.Model:
    images = [keras.Input(shape) for _ in range(inputs)]
    x = images[0] if inputs == 1 else layers.Add()(images)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    return keras.Model(images[0] if inputs == 1 else images, end(x) if end else x)


def whole_embedder() -> keras.Model:
    model = EmbeddingModel(network(), DivideConquerEmbedding(4, 2))
    model.build((None, 32, 32, 3))
    return model


def nested() -> keras.Model:
    images = keras.Input((None, None, 3))
    return keras.Model(images, network(end=layers.Dense(5, "softmax"))(images))


def in_a_row() -> keras.Model:
    return keras.Sequential(
        [keras.Input((32, 32, 3)), layers.Flatten(), layers.Dense(7), layers.Softmax()]
    )


def two_outputs() -> keras.Model:
    model = network()
    return keras.Model(model.input, [model.output, layers.Dense(2)(model.output)])


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    path = tmp_path / "whole.keras"
    network().save(path)
    return path.read_bytes()


def archive(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)


def lfs_pointer(path: Path) -> None:
    path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    )


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lfs_pointer, "is a Git LFS pointer.*git lfs pull"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "older format, HDF5"),
        (lambda path: path.write_text("<!DOCTYPE html>"), "like a web page"),
        (lambda path: path.write_text("hello"), "no zip archive, but begins with"),
        (lambda path: archive(path, a_txt=b"a"), r"zip archive without config\.json"),
        (lambda path: path.mkdir(), "a folder. A SavedModel cannot be trained on"),
    ],
)
def test_file_that_is_something_else_is_named(
    tmp_path: Path, write: Callable, message: str
) -> None:
    path = tmp_path / "model.keras"
    write(path)
    with pytest.raises(ValueError, match=message):
        check_backbone(str(path))
    with pytest.raises(ValueError, match=message):
        build_backbone(str(path))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_file_that_is_cut_short_is_named(
    tmp_path: Path, whole: bytes, share: float
) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match="cut short or damaged; copy it again"):
        check_backbone(str(path))


def test_weights_that_are_damaged_are_named(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "model.keras"
    middle = len(whole) // 2
    changed = bytes(byte ^ 0xFF for byte in whole[middle : middle + 50])
    path.write_bytes(whole[:middle] + changed + whole[middle + 50 :])
    with pytest.raises(ValueError, match=r"damaged; copy it again"):
        check_backbone(str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.h5", r"load_model\('.*model\.h5'\)\.save\('model\.keras'\)"),
        ("model.hdf5", "older format"),
        ("model.pth", "--backbone='resnet50"),
        ("model.safetensors", "PyTorch's weights"),
        ("model.onnx", "cannot be trained on"),
        ("saved_model.pb", "cannot be trained on"),
    ],
)
def test_other_formats_are_told_how_to_convert(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / name).write_bytes(b"\x89HDF")
    with pytest.raises(UsageError, match=message):
        check_backbone(str(tmp_path / name))


def test_folder_of_a_saved_model_is_told_apart_from_an_unknown_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network().export(tmp_path / "exported")
    with pytest.raises(UsageError, match="A SavedModel cannot be trained on"):
        check_backbone(str(tmp_path / "exported"))
    (tmp_path / "small").mkdir()
    monkeypatch.chdir(tmp_path)
    check_backbone("small")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network((32, 32, 3)), r"of 32 × 32 only; --image_size=64\. Pass --im"),
        (lambda: network((64, 32, 3)), r"of 64 × 32 only; --image_size=64\. Save it w"),
        (lambda: network((None, 32, 3)), r"of any × 32 only; --image_size=64"),
        (
            lambda: network((None, None, 1)),
            r"width, 3\) .* found \(None, None, None, 1",
        ),
        (
            lambda: network((None, None, 4)),
            r"width, 3\) .* found \(None, None, None, 4",
        ),
        (lambda: network(inputs=2), "expected one input"),
        (two_outputs, "one output"),
        (lambda: network(end=layers.Dense(9, "softmax")), "probabilities of 9 classes"),
        (lambda: network(end=layers.Activation("softmax")), "Save what lies before"),
        (lambda: network(end=layers.Softmax()), "not features"),
        (nested, "probabilities of 5 classes"),
        (whole_embedder, r"a whole EmbeddingModel.*\.backbone\.save"),
    ],
)
def test_model_that_gives_no_features_is_told_what_to_do(
    tmp_path: Path, make: Callable[[], keras.Model], message: str
) -> None:
    path = tmp_path / "model.keras"
    make().save(path)
    with pytest.raises(ValueError, match=message):
        build_backbone(str(path), image_size=64)


def test_softmax_at_the_end_of_a_sequence_is_found(tmp_path: Path) -> None:
    in_a_row().save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="probabilities of 7 classes"):
        build_backbone(str(tmp_path / "model.keras"), image_size=32)


@pytest.mark.parametrize(
    "make",
    [
        network,
        lambda: network((64, 64, 3)),
        lambda: network(end=layers.Dense(9)),
        # Within a network it is attention, not an answer.
        lambda: network(end=lambda x: layers.Dense(3)(layers.Softmax()(x))),
    ],
)
def test_models_of_features_are_taken(
    tmp_path: Path, make: Callable[[], keras.Model]
) -> None:
    path = tmp_path / "model.keras"
    make().save(path)
    assert build_backbone(str(path), image_size=64).count_params()


@pytest.mark.parametrize(
    "words",
    rest_is_slow(
        [
            ["--backbone={}", "--dataset=glyphs"],
            ["evaluate", "{}", "--dataset=glyphs", "--image_size=32"],
            ["export", "{}", "--image_size=32"],
        ]
    ),
)
def test_every_command_that_reads_a_model_says_it(
    tmp_path: Path,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "model.keras"
    lfs_pointer(path)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cli.main([word.format(path) for word in words]) == 1
    assert "is a Git LFS pointer" in capsys.readouterr().err


def test_layer_of_the_users_own_is_named_with_the_remedy(tmp_path: Path) -> None:
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((8, 8, 3)), Own()]).save(path)
    with pytest.raises(ValueError, match=r"holds class 'Own'.*--plugin=FILE\.py"):
        read_model(path, "--backbone=model.keras")
