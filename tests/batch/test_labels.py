"""Labels are compared exactly, and what is no label is refused, with what to do."""

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.batch.distances import label_masks
from dce_tf.batch.labels import exact_labels

WIDTHS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("dtype", [*WIDTHS, "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("in_graph", [False, True])
def test_whole_numbers_of_any_type_become_int64(dtype, shape, in_graph) -> None:
    given = np.array([7, 0, 99], dtype).reshape(shape)
    check = lambda y: exact_labels(y, 3)[0]  # noqa: E731
    labels = (tf.function(check) if in_graph else check)(tf.constant(given))
    assert labels.dtype == tf.int64
    np.testing.assert_array_equal(labels, [7, 0, 99])


def test_bfloat16_lists_and_python_numbers_beyond_int32() -> None:
    assert exact_labels(tf.constant([5, 200], tf.bfloat16))[0].numpy().tolist() == [
        5,
        200,
    ]
    assert exact_labels([2**40, -(2**40)])[0].numpy().tolist() == [2**40, -(2**40)]


HIGHEST = {"float16": 2**11, "float32": 2**24, "float64": 2**53}


@pytest.mark.parametrize(("dtype", "limit"), HIGHEST.items())
def test_floats_are_refused_from_where_neighbours_merge(dtype, limit) -> None:
    assert np.array(limit + 1, dtype) == np.array(limit, dtype)
    last = np.array([limit - 1, limit - 2], dtype)
    assert exact_labels(last)[0].numpy().tolist() == [limit - 1, limit - 2]
    for wrong in (limit, -limit, limit * 2, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"below 2\*\*.*integer labels"):
            exact_labels(np.array([1, wrong], dtype))


@pytest.mark.parametrize("wrong", [0.5, 2**24, np.nan])
def test_a_graph_refuses_wrong_floats_when_it_runs(wrong: float) -> None:
    check = tf.function(lambda y: exact_labels(y)[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="integer labels"):
        check(tf.constant([1, wrong], tf.float32))


def test_xla_which_drops_assertions_is_told() -> None:
    valid = tf.function(lambda y: exact_labels(y)[1], jit_compile=True)
    assert bool(valid(tf.constant([1.0, 2.0])))
    assert not bool(valid(tf.constant([1.0, 2.5])))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.eye(3), r"\(3, 3\).*argmax"),
        (np.zeros((3, 1, 1), np.int32), r"\(3, 1, 1\).*\(n,\) or \(n, 1\)"),
        (np.int32(3), r"\(\).*\(n,\)"),
        (np.array(["cat", "dog"]), r"integers; received string.*np.unique"),
        (np.array([True, False]), r"integers; received bool.*np.unique"),
        (np.array([1 + 2j]), "received complex128"),
        (np.arange(4), "4 labels for 3 embeddings"),
    ],
)
def test_what_is_no_label_is_refused(given, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exact_labels(given, 3)


@pytest.mark.parametrize("shape", [(None, None), None])
def test_a_shape_that_only_the_step_knows_is_checked_there(shape) -> None:
    check = tf.function(
        lambda y: exact_labels(y, 4)[0],
        input_signature=[tf.TensorSpec(shape, tf.int32)],
    )
    np.testing.assert_array_equal(
        check(tf.constant([[1], [2], [3], [4]])), [1, 2, 3, 4]
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="one label for each"):
        check(tf.ones((4, 3), tf.int32))


def test_labels_are_held_to_the_number_of_classes() -> None:
    assert exact_labels([0, 4], num_classes=5)[0].numpy().tolist() == [0, 4]
    for wrong in ([0, 5], [-1, 0], np.array([2**63], np.uint64)):
        with pytest.raises(ValueError, match=r"0 to 4.*num_classes"):
            exact_labels(wrong, num_classes=5)


@pytest.mark.parametrize("base", [2**24, 2**32, 2**62])
def test_masks_tell_neighbouring_large_classes_apart(base: int) -> None:
    labels = base + np.array([0, 1, 0])
    for form in (labels, labels[:, None]):
        positive, negative = label_masks(form)
        assert positive.numpy().tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
        assert negative.numpy().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
