"""A model with fewer learners: a shorter embedding, at the cost of some accuracy."""

from __future__ import annotations

from dce_tf.errors import UsageError
from dce_tf.layers import DivideConquerEmbedding
from dce_tf.model import EmbeddingModel


def keep_learners(model: EmbeddingModel, count: int) -> EmbeddingModel:
    """Returns a model whose embedding is that of the first learners only.

    It is the beginning of the whole embedding, scaled to unit length again, as
    `evaluate --embedding_slices` scores it.

    Args:
        model: Stays as it is; the two share the backbone.
        count: How many learners are kept.

    Raises:
        UsageError: If there are not so many, or their parts are no slices.
    """
    whole = model.embedding
    if whole.parts == "masks":
        raise UsageError(
            f"--embedding_learners={count}: the learners of this model have trained "
            "masks over the whole embedding, so there is nothing to cut. Leave the "
            "flag out."
        )
    if not 1 <= count <= whole.num_learners:
        raise UsageError(
            f"--embedding_learners={count}: the model has {whole.num_learners} "
            f"learners. Use 1 to {whole.num_learners}."
        )
    kept = whole.units // whole.num_learners * count
    truncated = EmbeddingModel(
        model.backbone,
        DivideConquerEmbedding(kept, count, whole.parts, dtype=whole.dtype_policy),
        dropout=model.dropout.rate,
        freeze_batch_norm=model.freeze_batch_norm,
        pooling=model.pooling,
    )
    truncated.build(model.backbone.input_shape)
    if model.pool is not None and truncated.pool is not None:
        truncated.pool.set_weights(model.pool.get_weights())
    truncated.embedding.kernel.assign(whole.kernel[:, :kept])
    truncated.embedding.bias.assign(whole.bias[:kept])
    return truncated
