"""A model with fewer learners: a shorter embedding, at the cost of some accuracy."""

from __future__ import annotations

from dce_tf.base.errors import UsageError
from dce_tf.export.projection import with_projection
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel

_NO_SLICES = {
    "masks": "trained masks over the whole embedding",
    "heads": "heads of their own",
}


def keep_learners(model: EmbeddingModel, count: int) -> EmbeddingModel:
    """Returns a model whose embedding is that of the first learners only.

    It is the beginning of the whole embedding, scaled to unit length again, as
    `evaluate --embedding_slices` scores it.

    Args:
        model: Stays as it is; the two share the backbone.
        count: How many learners are kept.

    Raises:
        UsageError: If there are fewer learners, or their parts are no slices.
    """
    whole = model.embedding
    if whole.parts in ("masks", "heads"):
        raise UsageError(
            f"--embedding_learners={count}: the learners of this model have "
            f"{_NO_SLICES[whole.parts]}, so there is nothing to cut. Leave the flag "
            "out."
        )
    if not 1 <= count <= whole.num_learners:
        raise UsageError(
            f"--embedding_learners={count}: the model has {whole.num_learners} "
            f"learners. Use 1 to {whole.num_learners}."
        )
    kept = whole.units // whole.num_learners * count
    layer = DivideConquerEmbedding(kept, count, whole.parts, dtype=whole.dtype_policy)
    return _with_first(model, layer)


def drop_heads(model: EmbeddingModel) -> EmbeddingModel:
    """Returns a model without what only training uses: heads and centroids.

    Args:
        model: Stays as it is; the two share the backbone. One that has neither is
            returned itself.
    """
    whole = model.embedding
    if whole.head_kernel is None and whole.centroids is None:
        return model
    parts = "slices" if whole.parts == "heads" else whole.parts
    count = 1 if whole.parts == "heads" else whole.num_learners
    plain = _with_first(
        model,
        DivideConquerEmbedding(whole.units, count, parts, dtype=whole.dtype_policy),
    )
    if whole.masks is not None:
        plain.embedding.masks.assign(whole.masks)
    return plain


def _with_first(
    model: EmbeddingModel, embedding: DivideConquerEmbedding
) -> EmbeddingModel:
    """Returns the model with the first numbers of its embedding, in another layer."""
    kept, whole = embedding.units, model.embedding
    return with_projection(model, embedding, whole.kernel[:, :kept], whole.bias[:kept])
