"""A model with another projection from the same features."""

from __future__ import annotations

from typing import Any

from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel


def with_projection(
    model: EmbeddingModel, layer: DivideConquerEmbedding, kernel: Any, bias: Any
) -> EmbeddingModel:
    """Returns a model that differs in its embedding only.

    Args:
        model: Stays as it is; the two share the backbone.
        layer: The embedding, not built yet.
        kernel: Its kernel, float `(feature_dim, units)`.
        bias: Its bias, float `(units,)`.
    """
    changed = EmbeddingModel(
        model.backbone,
        layer,
        dropout=model.dropout.rate,
        freeze_batch_norm=model.freeze_batch_norm,
        pooling=model.pooling,
    )
    changed.build(model.backbone.input_shape)
    if model.pool is not None and changed.pool is not None:
        changed.pool.set_weights(model.pool.get_weights())
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)
    return changed
