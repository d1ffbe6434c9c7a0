"""Labels as everything compares them: int64, exact, one for each embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_WIDTHS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
"""Below 2 to this power each whole number has a float of its own."""


def exact_labels(
    labels: Any, count: Any = None, num_classes: int | None = None
) -> tuple[Any, Any]:
    """Checks labels and returns them as one int64 for each image.

    Values can be looked at only once they are there: in a graph an assertion does so,
    at the step that has them. XLA leaves assertions out; for it there is `valid`.

    Args:
        labels: Integers of any width, or floats that are whole and small enough for
            their type to tell them from their neighbours; `(n,)` or `(n, 1)`.
        count: n, if it is known: a number or an integer scalar tensor.
        num_classes: Labels must be 0 or more and below this; None for any integers.

    Returns:
        The labels, int64 `(n,)`; and bool scalar `valid`, False where a value is wrong
        that no error could tell. It is None where nothing depends on values.

    Raises:
        ValueError: If the type, the shape or, outside of a graph, a value is wrong.
        tf.errors.InvalidArgumentError: If, in a graph, a value is wrong.
    """
    given = labels if tf.is_tensor(labels) else np.asarray(labels)
    width = _WIDTHS.get(tf.as_dtype(given.dtype).name)
    if width is None and not tf.as_dtype(given.dtype).is_integer:
        raise ValueError(
            f"Labels must be integers; received {tf.as_dtype(given.dtype).name}. "
            "Number the classes, such as by np.unique(labels, return_inverse=True)[1]."
        )
    given = tf.convert_to_tensor(given)
    checks = [] if width is None else [_whole(given, width)]
    given, of_shape = _as_vector(given, count)
    checks += of_shape
    with tf.control_dependencies([made for made, _ in checks if made is not None]):
        values = tf.cast(given, tf.int64)
    if num_classes is not None:
        checks.append(_below(values, num_classes))
        with tf.control_dependencies([checks[-1][0]] if checks[-1][0] else []):
            values = tf.identity(values)
    flags = [valid for _, valid in checks]
    return values, tf.reduce_all(tf.stack(flags)) if flags else None


def require(condition: Any, message: str, *data: Any) -> tuple[Any, Any]:
    """Raises unless a condition holds: now, or when a graph comes to it.

    Args:
        condition: bool scalar tensor.
        message: What was expected, and what to do.
        *data: Scalar tensors that say what was received, for the message.

    Returns:
        The assertion, None where there is no graph, and the condition.

    Raises:
        ValueError: If it does not hold, outside of a graph.
    """
    if not tf.executing_eagerly():
        return tf.debugging.Assert(condition, [message, *data]), condition
    if not bool(condition):
        received = ", ".join(f"{each.numpy():.9g}" for each in data)
        raise ValueError(f"{message} ({received})")
    return None, condition


def _whole(labels: Any, width: int) -> tuple[Any, Any]:
    highest = float(2**width)
    whole = (labels == tf.round(labels)) & (tf.abs(labels) < highest)
    name = labels.dtype.name
    return require(
        tf.reduce_all(whole),
        f"Labels in {name} must be whole numbers below 2**{width}, from where on "
        f"{name} makes neighbouring classes one. Give integer labels; if they are "
        f"integers and something casts them, number the classes from 0. Received, "
        "smallest and largest:",
        tf.reduce_min(labels),
        tf.reduce_max(labels),
    )


def _below(labels: Any, num_classes: int) -> tuple[Any, Any]:
    inside = (labels >= 0) & (labels < num_classes)
    return require(
        tf.reduce_all(inside),
        f"Labels must be 0 to {num_classes - 1}, as the loss has {num_classes} "
        "classes. Number the classes from 0, or give the loss more with num_classes. "
        "Received, smallest and largest:",
        tf.reduce_min(labels),
        tf.reduce_max(labels),
    )


def _as_vector(labels: Any, count: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """Returns labels `(n,)`, and the checks of what no shape tells before a step."""
    shape = labels.shape
    if shape.rank is not None and not _is_column(shape):
        hint = "Give one integer for each image, shape (n,) or (n, 1)."
        if shape.rank == 2:
            hint = f"For one-hot rows: labels.argmax(axis=1). {hint}"
        raise ValueError(f"Labels have the shape {tuple(shape)}. {hint}")
    vector = tf.reshape(labels, (-1,))
    # Of unknown width, rows of several numbers would become as many labels.
    expected = tf.shape(labels)[0] if count is None else tf.cast(count, tf.int32)
    told, known = tf.get_static_value(tf.size(vector)), tf.get_static_value(expected)
    if told is not None and known is not None:
        if told != known:
            raise ValueError(
                f"There are {told} labels for {known} embeddings. Give one label for "
                "each."
            )
        return vector, []
    check = require(
        tf.size(vector) == expected,
        "There must be one label for each embedding, shape (n,) or (n, 1). Received "
        "labels, embeddings:",
        tf.size(vector),
        expected,
    )
    return vector, [check]


def _is_column(shape: tf.TensorShape) -> bool:
    return shape.rank == 1 or (shape.rank == 2 and shape[1] in (1, None))
