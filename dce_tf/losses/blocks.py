"""Losses over triplets, a few anchors at a time where all at once would not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

MOST_NUMBERS = 1 << 24
"""Of one intermediate tensor: 64 MiB in float32."""


def by_rows(
    function: Callable[..., Any], rows: Sequence[Any], whole: Sequence[Any] = ()
) -> Any:
    """Applies a function of anchors whose tensors grow with the cube of the batch.

    Up to about 250 images it is called once. Beyond, it is called for blocks of
    anchors, and again in the backward pass, so that memory grows with the square.

    Args:
        function: From the rows of some anchors, and what is the same for all, to a
            float32 tensor `(num_anchors, width)`; its tensors have up to
            `num_anchors · num_others²` entries.
        rows: What there is of each anchor, `(num_anchors, num_others)` each.
        whole: Passed to every call.

    Returns:
        float32 `(num_anchors, width)`.
    """
    count, others = rows[0].shape
    if count is None or others is None or count * others**2 <= MOST_NUMBERS:
        return function(*rows, *whole)
    most = max(1, MOST_NUMBERS // others**2)
    size = next(n for n in range(min(most, count), 0, -1) if count % n == 0)
    blocks = tuple(tf.reshape(part, (-1, size, *part.shape[1:])) for part in rows)
    again = tf.recompute_grad(function)
    width = function(*(part[:1] for part in rows), *whole).shape[1]
    results = tf.map_fn(
        lambda block: again(*block, *whole),
        blocks,
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec((size, width), tf.float32),
    )
    return tf.reshape(results, (count, width))
