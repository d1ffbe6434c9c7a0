import keras
import numpy as np
import tensorflow as tf

from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.training.inheritance import inherit_masks
from dce_tf.training.optimizer import GroupedAdam, ParameterGroup


def make(parts: str, num_parts: int = 1) -> tuple[DivideConquerEmbedding, GroupedAdam]:
    layer = DivideConquerEmbedding(8, num_learners=4, parts=parts)
    layer.build((None, 3))
    layer.masks.assign(np.random.default_rng(0).normal(size=(4, 8)))
    groups = [ParameterGroup([layer.masks], 0.1, num_parts=num_parts, axis=0)]
    optimizer = GroupedAdam(groups)
    for step in range(3):
        gradient = np.zeros((4, 8), np.float32)
        gradient[step % 2] = step + 1 + np.arange(8)
        optimizer.apply([tf.constant(gradient)], [layer.masks])
    return layer, optimizer


def test_children_take_mask_and_optimiser_state_of_their_parent() -> None:
    layer, optimizer = make("masks", num_parts=4)
    state = [layer.masks, *optimizer.state_of(layer.masks)]
    before = [np.array(each) for each in state]
    assert [each.shape for each in before] == [(4, 8)] * 3 + [(4,)]
    inherit_masks(layer, optimizer, np.array([0, 0, 1, 1]))
    for each, old in zip(state, before, strict=True):
        np.testing.assert_array_equal(each, old[[0, 0, 1, 1]])


def test_learners_that_are_not_there_yet_keep_theirs() -> None:
    layer, optimizer = make("masks")
    before = layer.masks.numpy()
    inherit_masks(layer, optimizer, np.array([0, 0]))
    np.testing.assert_array_equal(layer.masks.numpy(), before[[0, 0, 2, 3]])


def test_works_through_loss_scaling() -> None:
    layer, optimizer = make("masks")
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    moment = np.array(optimizer.state_of(layer.masks)[0])
    inherit_masks(layer, scaled, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(
        optimizer.state_of(layer.masks)[0], moment[[0, 0, 1, 1]]
    )


def test_fixed_masks_are_cut_instead() -> None:
    layer, optimizer = make("fixed_masks")
    inherit_masks(layer, optimizer, np.array([0, 0]))
    np.testing.assert_array_equal(layer.masks.numpy()[:2], np.repeat(np.eye(2), 4, 1))
