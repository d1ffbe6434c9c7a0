"""Large batches in little memory: the features of a batch, some images at a time.

First the features of all images are computed, and nothing else is kept. The gradient of
the loss with respect to them then goes through the backbone part by part, and each part
is computed once more. The result is that of the whole batch at once, for every loss and
miner (Gao et al., "Scaling deep contrastive learning batch size under memory limited
setup", 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError


def num_parts(images: Any, size: int) -> int:
    """Returns how many parts a batch is cut into; 1 if it is no larger than one.

    Args:
        images: Of one replica, `(batch, …)`.
        size: Images per part; 0 does not cut.

    Raises:
        UsageError: If the parts would not have the same size.
    """
    batch = images.shape[0]
    if not size or (batch is not None and batch <= size):
        return 1
    if batch is None:
        raise UsageError(
            f"micro_batch_size={size} needs batches of one size. Batch the data with "
            "drop_remainder=True."
        )
    if batch % size:
        raise UsageError(
            f"micro_batch_size={size} must divide the {batch} images of a batch on one "
            f"device. The nearest that works is {nearest_divisor(batch, size)}."
        )
    return int(batch // size)


def nearest_divisor(batch: int, size: int) -> int:
    """Returns the divisor of `batch` that lies nearest to `size`."""
    divisors = (each for each in range(1, batch + 1) if batch % each == 0)
    return min(divisors, key=lambda each: abs(each - size))


def features_in_parts(model: Any, images: Any, count: int) -> Any:
    """Returns the features of images, float32 `(batch, feature_dim)`.

    Args:
        model: Its `features` must return the same for the same images.
        images: `(batch, height, width, 3)`; `count` divides their number.
        count: How many parts to compute one after the other.
    """
    parts = tf.map_fn(
        lambda part: _features(model, part),
        _cut(images, count),
        parallel_iterations=1,
        fn_output_signature=tf.float32,
    )
    return tf.reshape(parts, (-1, parts.shape[-1]))


def add_feature_gradients(
    gradients: Sequence[Any],
    variables: Sequence[Any],
    model: Any,
    images: Any,
    wanted: Any,
    count: int,
) -> list[Any]:
    """Adds to gradients what comes through the features of a batch.

    Args:
        gradients: Of the loss without its way through the features, one per variable;
            None where there is none.
        variables: What is trained.
        model: As in `features_in_parts`.
        images: The batch.
        wanted: Gradient with respect to the features, `(batch, feature_dim)`.
        count: How many parts to compute one after the other.

    Returns:
        The gradients of the loss; None where there are none.
    """

    def of_part(part: Any, feature_gradient: Any) -> list[Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            features = _features(model, part)
        return list(
            tape.gradient(features, variables, output_gradients=feature_gradient)
        )

    # Else TensorFlow may compute the first part early, and keep it until it is needed.
    with tf.control_dependencies([wanted]):
        images = tf.identity(images)
    parts, wanted = _cut(images, count), _cut(wanted, count)
    first = of_part(parts[0], wanted[0])
    reached = [place for place, each in enumerate(first) if each is not None]
    if not reached:
        return list(gradients)

    def add(sums: list[Any], given: tuple[Any, Any]) -> list[Any]:
        own = of_part(*given)
        return [
            total + tf.convert_to_tensor(own[place])
            for total, place in zip(sums, reached, strict=True)
        ]

    sums = tf.foldl(
        add,
        (parts[1:], wanted[1:]),
        [tf.convert_to_tensor(first[place]) for place in reached],
        parallel_iterations=1,
    )
    added = list(gradients)
    for place, total in zip(reached, sums, strict=True):
        own = added[place]
        added[place] = total if own is None else total + tf.convert_to_tensor(own)
    return added


def _features(model: Any, part: Any) -> Any:
    return tf.cast(model.features(part, training=True), tf.float32)


def _cut(batch: Any, count: int) -> Any:
    return tf.reshape(batch, (count, -1, *batch.shape[1:]))
