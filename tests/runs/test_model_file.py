from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS
from dce_tf.evaluation.evaluator import Embeddings
from dce_tf.network.backbones import build_backbone
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.runs.model_file import ModelFile
from dce_tf.runs.plain import plain_config
from dce_tf.runs.sources import config_for, find_source
from dce_tf.training.pipelines import EvaluationPipelines, FileReader
from tests import fakes
from tests.slow import rest_is_slow

SIZE = 32
layers = keras.layers


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(0)


def saved(path: Path, model: keras.Model) -> Path:
    model.save(path / "model.keras")
    return path / "model.keras"


def images_in(root: Path) -> tuple[str, ...]:
    fakes.write_csv(root, num_classes=2, images_per_class=3, splits=("test",))
    return DATASETS.build("csv", data_dir=str(root)).query.paths


def embed(path: Path, paths: tuple[str, ...]) -> Embeddings:
    given = {"dataset": "csv", "image_size": SIZE, "evaluation_batch_size": 4}
    config = plain_config(given)
    told: list[int] = []
    embedder = find_source(path).open(config, FileReader())
    embeddings = embedder.embeddings(paths, told.append)
    assert told[-1] == len(paths)
    assert embeddings.dtype == np.float32
    return embeddings


def plain(
    *after: keras.layers.Layer,
    size: int | None = None,
    dtype: str = "float32",
    policy: str = "float32",
) -> keras.Model:
    inputs = keras.Input((size, size, 3), dtype=dtype)
    outputs = layers.Conv2D(8, 3, 2, activation="relu", dtype=policy)(inputs)
    for layer in after:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def by_hand(model: keras.Model, paths: tuple[str, ...], dtype: str) -> np.ndarray:
    (images,) = EvaluationPipelines(SIZE, len(paths), 1).build(paths)
    images = np.asarray(images)
    images = np.round(images) if "int" in dtype else images
    return np.asarray(tf.cast(model(tf.cast(images, dtype)), tf.float32))


@pytest.mark.parametrize("size", rest_is_slow([None, SIZE]))
@pytest.mark.parametrize(
    ("after", "axes"),
    rest_is_slow(
        [
            ((), (1, 2)),
            ((layers.Reshape((-1, 8)),), (1,)),
            ((layers.GlobalAveragePooling2D(),), ()),
            ((layers.GlobalMaxPooling2D(), layers.Dense(5)), ()),
        ]
    ),
)
def test_maps_tokens_and_vectors_become_vectors(
    tmp_path: Path, after: tuple, axes: tuple, size: int | None
) -> None:
    model, paths = plain(*after, size=size), images_in(tmp_path)
    expected = by_hand(model, paths, "float32").mean(axis=axes)
    got = embed(saved(tmp_path, model), paths)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "policy"),
    rest_is_slow(
        [
            ("uint8", "float32"),
            ("int32", "float32"),
            ("float16", "float16"),
            ("float32", "mixed_bfloat16"),
            ("float64", "float64"),
        ]
    ),
)
def test_models_of_any_dtype_embed(tmp_path: Path, dtype: str, policy: str) -> None:
    after = [layers.GlobalAveragePooling2D()]
    if "int" in dtype:
        inputs = keras.Input((None, None, 3), dtype=dtype)
        model = keras.Model(inputs, after[0](layers.Rescaling(1 / 255)(inputs)))
    else:
        model = plain(*after, dtype=dtype, policy=policy)
    paths = images_in(tmp_path)
    expected = by_hand(model, paths, dtype)
    got = embed(saved(tmp_path, model), paths)
    np.testing.assert_allclose(got, expected, rtol=2e-2, atol=1e-2)


@pytest.mark.slow
def test_sequential_models_embed(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(8, 3), layers.MaxPooling2D()]
    )
    assert embed(saved(tmp_path, model), images_in(tmp_path)).shape == (6, 8)


@pytest.mark.parametrize("own", [False, True])
def test_a_fixed_size_is_taken_from_the_model(tmp_path: Path, own: bool) -> None:
    model = plain(layers.GlobalAveragePooling2D(), size=48)
    if own:
        model = EmbeddingModel(model, DivideConquerEmbedding(4))
        model.build((None, 48, 48, 3))
    path = saved(tmp_path, model)
    source = find_source(path)
    assert config_for(source, {"dataset": "csv"}).data.image_size == 48
    config = plain_config({"dataset": "csv", "image_size": SIZE})
    with pytest.raises(UsageError, match=r"takes images of 48 × 48 only\. Pass --im"):
        source.open(config, FileReader())


def test_models_of_any_size_need_one(tmp_path: Path) -> None:
    for model in (plain(), EmbeddingModel(plain(), DivideConquerEmbedding(4))):
        model.build((None, None, None, 3))
        source = find_source(saved(tmp_path, model))
        with pytest.raises(
            UsageError, match=r"takes images of any size\. Give --image_s"
        ):
            config_for(source, {"dataset": "csv"})


def test_own_models_embed_as_their_extractor_does(tmp_path: Path) -> None:
    model = EmbeddingModel(build_backbone("small"), DivideConquerEmbedding(16))
    model.build((None, SIZE, SIZE, 3))
    got = embed(saved(tmp_path, model), images_in(tmp_path))
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, rtol=1e-5)


def two_inputs() -> keras.Model:
    one, other = keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE, 3))
    return keras.Model([one, other], layers.Add()([one, other]))


def two_outputs() -> keras.Model:
    model = plain()
    return keras.Model(model.input, {"a": model.output, "b": model.output})


def of_words() -> keras.Model:
    inputs = keras.Input((7,))
    return keras.Model(inputs, layers.Dense(3)(inputs))


def of_grey() -> keras.Model:
    inputs = keras.Input((SIZE, SIZE, 1))
    return keras.Model(inputs, layers.Flatten()(inputs))


def oblong() -> keras.Model:
    inputs = keras.Input((32, 48, 3))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_inputs, r"expected one input of RGB images.*found \[\(None, 32, 32, 3\)"),
        (of_words, r"expected one input of RGB images.*found \[\(None, 7\)\]"),
        (of_grey, r"expected one input of RGB images.*found \[\(None, 32, 32, 1\)\]"),
        (oblong, r"takes images of \(None, 32, 48, 3\); expected a square"),
        (two_outputs, "returns a dict; expected one vector"),
        (
            lambda: plain(layers.Reshape((15, 15, 2, 4))),
            r"returns \(None, 15, 15, 2",
        ),
        (
            lambda: plain(layers.Flatten(), layers.Dense(1), size=SIZE),
            r"returns \(None, 1\); expected .* of two channels or more",
        ),
    ],
)
def test_models_of_something_else_are_refused(
    tmp_path: Path, make, message: str
) -> None:
    source = find_source(saved(tmp_path, make()))
    config = plain_config({"dataset": "csv", "image_size": SIZE})
    with pytest.raises(ValueError, match=message) as error:
        source.open(config, FileReader())
    assert "\n" not in str(error.value)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="cannot be read as a Keras model"):
        _ = ModelFile(path).model
