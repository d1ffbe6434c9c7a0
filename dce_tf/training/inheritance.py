"""What children learn from their parent when a cluster is cut in two."""

from __future__ import annotations

import keras
import numpy as np
import numpy.typing as npt

from dce_tf.network.layers import DivideConquerEmbedding


def inherit_masks(
    embedding: DivideConquerEmbedding,
    optimizer: keras.optimizers.Optimizer,
    parents: npt.NDArray[np.int64],
) -> None:
    """Gives each new learner the mask of its parent, and the optimiser's state of it.

    Fixed masks are cut in halves instead (Sanakoyeu et al., TPAMI 2021, section 3.5).

    Args:
        embedding: With masks.
        optimizer: One of `training.optimizer`, or a loss-scaling one around it.
        parents: The learner that each of the first learners comes from, int64
            `(num_learners_now,)`.
    """
    if embedding.parts == "fixed_masks":
        embedding.set_masks(len(parents))
        return
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    for variable in (embedding.masks, *inner.state_of(embedding.masks)):
        values = np.array(keras.ops.convert_to_numpy(variable))
        values[: len(parents)] = values[parents]
        variable.assign(values)
