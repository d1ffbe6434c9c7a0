import keras
import pytest
import tensorflow as tf

from dce_tf.base.errors import first_line, plain_words

TEXT = "This is built for 64 pixels.\nUse 64."


class Refusing(keras.layers.Layer):
    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        raise ValueError(TEXT)


class Around(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Refusing()

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.inner(inputs)


def refuse(inputs: tf.Tensor) -> tf.Tensor:
    raise RuntimeError(TEXT)


def call_model(inputs: tf.Tensor) -> tf.Tensor:
    return Around()(inputs)


@pytest.mark.parametrize(
    "function",
    [refuse, call_model, tf.function(refuse), tf.function(call_model)],
    ids=["plain", "layer", "traced", "traced layer"],
)
def test_words_of_an_error_are_free_of_what_libraries_put_around_them(
    function: object,
) -> None:
    with pytest.raises((ValueError, RuntimeError)) as caught:
        function(tf.zeros((2, 3)))
    assert plain_words(caught.value) == TEXT
    assert first_line(caught.value) == "This is built for 64 pixels"


def test_error_without_words_is_told_by_its_kind() -> None:
    assert plain_words(KeyError()) == first_line(KeyError()) == "KeyError"
