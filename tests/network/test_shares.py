import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones import build_backbone
from dce_tf.network.fitting import ModelWithLoss
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.matches import explain_match
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.shares import EXPLAINED, place_shares

SIZE = 48
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32)
PARTS = {
    "undivided": DivideConquerEmbedding(12),
    "slices": DivideConquerEmbedding(12, 3),
    "masks": DivideConquerEmbedding(12, 3, "masks"),
    "fixed_masks": DivideConquerEmbedding(12, 3, "fixed_masks"),
    "nested": DivideConquerEmbedding(12, 3, "nested"),
    "heads": DivideConquerEmbedding(12, 3, "heads", head_units=5),
}


def finished(
    backbone: keras.Model, parts: str = "slices", pooling: str = "avg"
) -> EmbeddingModel:
    keras.utils.set_random_seed(0)
    embedding = DivideConquerEmbedding.from_config(PARTS[parts].get_config())
    model = EmbeddingModel(backbone, embedding, pooling=pooling, dropout=0.5)
    model.build((None, SIZE, SIZE, 3))
    if embedding.masks is not None and parts == "masks":
        embedding.masks.assign(RNG.normal(size=(3, 12)))
    return model


def convolutional() -> keras.Model:
    """Gives a map of 6 × 4 places, with values below 0."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(16, 8, strides=(8, 12), use_bias=False, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(inputs, x)


def vit(num_extra: int) -> keras.Model:
    """Gives tokens of 6 × 6 patches after a few others, with attention among all."""
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(16, 8, strides=8)(x)
    x = keras.layers.Reshape((36, 16))(x)
    if num_extra:
        extra = keras.layers.Dense(16 * num_extra)(
            keras.layers.GlobalAveragePooling1D()(x)
        )
        extra = keras.layers.Reshape((num_extra, 16))(extra)
        x = keras.layers.Concatenate(axis=1)([extra, x])
    x = keras.layers.Add()([x, keras.layers.MultiHeadAttention(2, 8)(x, x)])
    return keras.Model(inputs, keras.layers.LayerNormalization()(x))


def require_sum(model: EmbeddingModel, learner: int | None = None) -> np.ndarray:
    chosen = None if learner is None else tf.constant(learner)
    shares = place_shares(model, IMAGES, chosen).numpy()
    assert shares.dtype == np.float32
    expected = model(IMAGES, learner=chosen)
    np.testing.assert_allclose(shares.sum((1, 2)), expected, atol=1e-4)
    return shares


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("pooling", EXPLAINED)
def test_shares_sum_to_the_embedding(pooling: str, parts: str) -> None:
    model = finished(convolutional(), parts, pooling)
    assert require_sum(model).shape == (3, 6, 4, 12)
    for learner in range(model.embedding.num_learners):
        width = model.embedding.learner_units
        assert require_sum(model, learner).shape == (3, 6, 4, width)


@pytest.mark.parametrize("num_extra", [0, 1, 5])
@pytest.mark.parametrize("pooling", EXPLAINED)
def test_tokens_have_the_places_of_their_patches(pooling: str, num_extra: int) -> None:
    model = finished(vit(num_extra), "slices", pooling)
    shares = require_sum(model)
    assert shares.shape == (3, 6, 6, 12)


def test_built_in_backbone_is_split() -> None:
    shares = require_sum(finished(build_backbone("small"), "slices", "gem"))
    assert shares.shape == (3, 3, 3, 12)


def test_no_share_of_a_learner_depends_on_another() -> None:
    model = finished(convolutional())
    whole = place_shares(model, IMAGES).numpy()
    for learner in range(3):
        part = place_shares(model, IMAGES, tf.constant(learner)).numpy()
        columns = slice(4 * learner, 4 * learner + 4)
        np.testing.assert_allclose(whole[..., columns] * 3**0.5, part, atol=1e-5)


def places_of(values: np.ndarray, pooling: str, bias: float = 0.0) -> np.ndarray:
    """Splits the embedding, of one number, of a map that is the image's red."""
    inputs = keras.Input((2, 2, 3))
    model = EmbeddingModel(
        keras.Model(inputs, inputs[..., :1]), DivideConquerEmbedding(1), pooling=pooling
    )
    model.build((None, 2, 2, 3))
    model.embedding.set_weights([np.ones((1, 1)), np.full(1, bias)])
    images = np.repeat(values[None, :, :, None], 3, axis=-1).astype(np.float32)
    return place_shares(model, images).numpy()[0, :, :, 0]


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("avg", [[0.1, 0.2], [0.3, 0.4]]),
        ("gem", [[0.01, 0.08], [0.27, 0.64]]),  # Of 1, 8, 27 and 64.
        ("max", [[0, 0], [0, 1]]),
    ],
)
def test_hand_worked_shares(pooling: str, expected: list[list[float]]) -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(places_of(values, pooling), expected, atol=1e-5)


def test_two_maxima_share_evenly() -> None:
    shares = places_of(np.array([[1.0, 4.0], [4.0, 0.0]]), "max")
    np.testing.assert_allclose(shares, [[0, 0.5], [0.5, 0]])


def test_bias_is_spread_evenly() -> None:
    # The average is 2.5, the bias as much again: half of all is of no place.
    shares = places_of(np.array([[1.0, 2.0], [3.0, 4.0]]), "avg", bias=2.5)
    np.testing.assert_allclose(shares, [[0.175, 0.225], [0.275, 0.325]], atol=1e-6)


def test_shares_are_map_times_gradient() -> None:
    """Euler's theorem, as the module tells it, for a power mean of channels."""
    model = finished(build_backbone("small"), "undivided", "gem")
    model.embedding.bias.assign(np.zeros(12))
    maps = model.maps(IMAGES)
    length = np.linalg.norm(model.project(model.pool(maps)), axis=1)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        raw = model.project(model.pool(maps))
        numbers = [tf.reduce_sum(raw[:, n]) for n in range(12)]
    expected = np.stack(
        [np.sum(maps * tape.gradient(each, maps), axis=-1) for each in numbers], -1
    )
    expected /= length[:, None, None, None]
    np.testing.assert_allclose(place_shares(model, IMAGES), expected, atol=1e-4)


def test_heat_sums_to_the_score_on_either_side() -> None:
    model = finished(convolutional(), "slices", "gem")
    others = IMAGES[::-1] / 2
    found = explain_match(model, IMAGES, others)
    expected = np.sum(model(IMAGES) * model(others), axis=1)
    np.testing.assert_allclose(found.scores, expected, atol=1e-4)
    np.testing.assert_allclose(found.images.sum((1, 2)), expected, atol=1e-4)
    np.testing.assert_allclose(found.others.sum((1, 2)), expected, atol=1e-4)


def test_heat_is_where_the_likeness_is() -> None:
    """Two noisy images share one square; it is hottest in both, where it lies."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.Conv2D(256, 8, strides=8, activation="relu")(x)
    model = finished(keras.Model(inputs, x), "undivided", "gem")
    model.embedding.bias.assign(np.zeros(12))
    first, second = RNG.uniform(100, 156, (2, 1, SIZE, SIZE, 3)).astype(np.float32)
    square = RNG.choice([0.0, 255.0], (8, 8, 3))
    first[0, 8:16, 32:40] = square
    second[0, 40:48, 0:8] = square
    found = explain_match(model, first, second)
    assert np.unravel_index(found.images[0].argmax(), (6, 6)) == (1, 4)
    assert np.unravel_index(found.others[0].argmax(), (6, 6)) == (5, 0)


def test_what_has_no_places_is_refused_with_what_works() -> None:
    with pytest.raises(UsageError, match=r"pooling=cls .*--pooling=avg, max, gem"):
        place_shares(finished(vit(1), pooling="cls"), IMAGES)
    inputs = keras.Input((SIZE, SIZE, 3))
    vectors = keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(inputs))
    with pytest.raises(UsageError, match="gives one vector"):
        place_shares(finished(vectors), IMAGES)
    with pytest.raises(UsageError, match="ModelWithLoss is not explained"):
        place_shares(ModelWithLoss(vectors), IMAGES)
