"""Which layer a second look is taken from, and the codes of its places."""

import keras
import numpy as np
import pytest

import dce_tf
from dce_tf.base.errors import UsageError
from dce_tf.export.places import NUMBERS, fit_places
from dce_tf.network.backbones import build_backbone
from dce_tf.network.places import MOST_PLACES, PlaceFeatures, PlaceHead


def model_of(backbone: keras.Model, size: int) -> dce_tf.EmbeddingModel:
    model = dce_tf.EmbeddingModel(backbone, dce_tf.DivideConquerEmbedding(8))
    model.build((None, size, size, 3))
    return model


def with_sums(strides: tuple[int, ...]) -> keras.Model:
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(images)
    for number, stride in enumerate(strides):
        x = keras.layers.Conv2D(4, 3, strides=stride, padding="same")(x)
        again = keras.layers.Conv2D(4, 1)(x)
        x = keras.layers.Add(name=f"sum_{number}")([x, again])
        x = keras.layers.Conv2D(4, 1, name=f"after_{number}")(x)
    return keras.Model(images, x)


def noise(count: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def test_places_are_of_the_last_sum_that_is_finer_than_the_end() -> None:
    backbone = with_sums((2, 2, 1, 2))
    features = PlaceFeatures(model_of(backbone, 32), 32)
    assert features.dim == 4
    expected = keras.Model(backbone.input, backbone.get_layer("sum_2").output)
    images = noise(2, 32)
    np.testing.assert_allclose(
        features(images), np.reshape(expected(images), (2, 64, 4)), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("backbone", "size", "places", "dim"),
    [
        ("small", 32, 16, 256),
        # Within the preparation of its images lies another network.
        ("mobilenetv2(weights=None)", 64, 16, 96),
    ],
)
def test_places_of_backbones(backbone: str, size: int, places: int, dim: int) -> None:
    network = build_backbone(backbone, image_size=size)
    features = PlaceFeatures(model_of(network, size), size)
    assert features(noise(1, size)).shape == (1, places, dim)


def test_fine_grids_are_averaged_and_coarse_networks_taken_as_they_are() -> None:
    fine = PlaceFeatures(model_of(with_sums((1, 2)), 64), 64)
    assert fine(noise(1, 64)).shape[1] == MOST_PLACES
    flat = PlaceFeatures(model_of(with_sums((1, 1)), 8), 8)
    assert flat(noise(1, 8)).shape[1] == 64


def test_pixels_are_no_map() -> None:
    images = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(6, 4, strides=4)(x)
    x = keras.layers.Conv2D(6, 3, padding="same")(x)
    features = PlaceFeatures(model_of(keras.Model(images, x), 32), 32)
    assert features(noise(1, 32)).shape == (1, 64, 6)


def test_many_tokens_are_averaged() -> None:
    images = keras.Input((64, 64, 3))
    tokens = keras.layers.Reshape((1024, 12))(images)
    features = PlaceFeatures(model_of(keras.Model(images, tokens), 64), 64)
    assert features(noise(1, 64)).shape == (1, MOST_PLACES, 12)


def test_tokens_that_stand_for_no_place_are_left_out() -> None:
    images = keras.Input((8, 8, 3))
    tokens = keras.layers.Reshape((4, 48))(images)
    tokens = keras.layers.ZeroPadding1D((2, 0))(tokens)
    features = PlaceFeatures(model_of(keras.Model(images, tokens), 8), 8)
    found = features(noise(2, 8))
    assert found.shape == (2, 4, 48)
    assert np.abs(found).min() > 0


def test_codes_are_whitened_and_of_one_length() -> None:
    model = model_of(build_backbone("small", image_size=32), 32)
    images = noise(24, 32)
    head = fit_places(model, 32, [images[:12], images[12:]])
    assert isinstance(head, PlaceHead)
    codes = np.asarray(head(images))
    assert codes.dtype == np.int8
    assert codes.shape == (24, 16, NUMBERS)
    lengths = np.linalg.norm(codes.astype(float), axis=-1)
    np.testing.assert_allclose(lengths, 127, atol=3)
    features = np.asarray(PlaceFeatures(model, 32)(images)).reshape(-1, 256)
    centred = features - features.mean(0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    white = centred @ axes[:NUMBERS].T / (values[:NUMBERS] / len(features) ** 0.5)
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    cosines = (
        codes.reshape(-1, NUMBERS)[:40] / 127 @ (codes.reshape(-1, NUMBERS) / 127).T
    )
    np.testing.assert_allclose(cosines, white[:40] @ white.T, atol=0.03)


def test_models_without_places_and_images_are_refused() -> None:
    vectors = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    with pytest.raises(UsageError, match="one vector for an image"):
        PlaceFeatures(model_of(vectors, 8), 8)
    with pytest.raises(UsageError, match="may be anything"):
        PlaceFeatures(vectors, 8)
    model = model_of(with_sums((2,)), 8)
    with pytest.raises(ValueError, match="none of them"):
        fit_places(model, 8, [])
    with pytest.raises(ValueError, match="look alike"):
        fit_places(model, 8, [np.zeros((2, 8, 8, 3), np.float32)])
