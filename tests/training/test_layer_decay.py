"""Learning rates by block."""

import keras
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones.blocks import train_last_blocks
from dce_tf.training.layer_decay import backbone_groups


def network() -> keras.Model:
    """A stem, three blocks of which the second has two layers, and a last norm."""
    names = ["stem", "block1_conv", "block2_a", "block2_b", "block3_conv", "norm"]
    images = x = keras.Input((8, 8, 3))
    for name in names:
        x = keras.layers.Conv2D(2, 1, name=name)(x)
    return keras.Model(images, x)


def rates(model: keras.Model, **options: float) -> dict[str, float]:
    """Returns the learning rate of each layer."""
    groups = backbone_groups(model, 1.0, 0.5, **options)
    assert {group.weight_decay for group in groups} == {0.5}
    found = {id(v): group.learning_rate for group in groups for v in group.variables}
    assert len(found) == len(model.trainable_variables)
    return {
        layer.name: found[id(layer.kernel)]
        for layer in model.layers
        if layer.trainable_variables
    }


def test_each_block_has_a_share_of_the_rate_of_the_next() -> None:
    assert rates(network(), layer_decay=0.5) == {
        "stem": 0.125,
        "block1_conv": 0.25,
        "block2_a": 0.5,
        "block2_b": 0.5,
        "block3_conv": 1.0,
        "norm": 1.0,
    }


def test_without_decay_all_train_alike_in_one_group() -> None:
    (group,) = backbone_groups(network(), 0.25, rests=True)
    assert (group.learning_rate, group.rests) == (0.25, True)
    assert len(group.variables) == 12


def test_only_blocks_that_train_have_a_group() -> None:
    model = network()
    train_last_blocks(model, 2)
    assert rates(model, layer_decay=0.5) == {
        "block2_a": 0.5,
        "block2_b": 0.5,
        "block3_conv": 1.0,
        "norm": 1.0,
    }


def test_one_block_has_nothing_to_decay_to() -> None:
    model = network()
    train_last_blocks(model, 1)
    with pytest.raises(UsageError, match="of the 4 blocks of this backbone 1 trains"):
        backbone_groups(model, 1.0, layer_decay=0.5)


def test_variables_beside_the_layers_train_like_the_first_block() -> None:
    class Tokens(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.token = self.add_weight(shape=(2,), name="token")
            self.block_1 = keras.layers.Dense(2, name="block_1")
            self.block_2 = keras.layers.Dense(2, name="block_2")

        def call(self, x):
            return self.block_2(self.block_1(x + self.token))

    model = Tokens()
    model(keras.ops.zeros((1, 2)))
    groups = backbone_groups(model, 1.0, layer_decay=0.5)
    found = {v.path: group.learning_rate for group in groups for v in group.variables}
    assert found[model.token.path] == 0.5
    assert found[model.block_2.kernel.path] == 1.0
