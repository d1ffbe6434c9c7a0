"""The network: image → features → embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from dce_tf.base.errors import UsageError
from dce_tf.losses import MetricLoss, Space
from dce_tf.network.backbones.folding import FoldedBackbone
from dce_tf.network.fitting import FittedModel
from dce_tf.network.layers import DivideConquerEmbedding, GeneralizedMeanPooling

PRECISIONS = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


@keras.saving.register_keras_serializable(package="dce_tf")
class EmbeddingModel(FittedModel):
    """A backbone, global pooling, dropout, and an embedding made of learners.

    `compile(optimizer, dce_tf.MarginLoss())` and `fit` train it, with the steps of
    `Trainer`: on batches of `(images, labels)` the whole embedding, on `(images,
    labels, learner)` that learner's part. `DividedData` makes such batches.

    Args:
        backbone: From images to a feature map, tokens `(batch, tokens, channels)`, or a
            vector.
        embedding: From features to embeddings.
        dropout: Share of the features dropped in training, 0 to 1.
        freeze_batch_norm: Run the backbone's batch norm, in training too, on the
            statistics it was loaded with; its scale and shift train all the same.
        pooling: Over the places of a map or the tokens: `"avg"`, `"max"`, `"gem"`
            (`GeneralizedMeanPooling`), or `"cls"`, the first token.

    Call arguments:
        images: Float tensor of shape `(batch, height, width, 3)`, 0 to 255, RGB.
        learner: See `DivideConquerEmbedding`.

    Returns:
        float32 tensor of shape `(batch, embedding_dim)`, of unit length.

    Raises:
        ValueError: If `pooling` is unknown, or does not fit what the backbone returns.
    """

    def __init__(
        self,
        backbone: keras.Model,
        embedding: DivideConquerEmbedding,
        *,
        dropout: float = 0.01,
        freeze_batch_norm: bool = True,
        pooling: str = "avg",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.backbone = backbone
        self.embedding = embedding
        self.dropout = keras.layers.Dropout(dropout)
        self.freeze_batch_norm = freeze_batch_norm
        self._frozen_backbone = FoldedBackbone(backbone)
        self.pooling = pooling
        self.pool = _pooling_layer(pooling, len(backbone.output_shape))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        del input_shape
        if self.pool is not None and not self.pool.built:
            self.pool.build(self.backbone.output_shape)
        if not self.embedding.built:
            self.embedding.build((None, self.backbone.output_shape[-1]))
        self.built = True

    @property
    def space(self) -> Space:
        return Space.of(self.embedding)

    @property
    def backbone_variables(self) -> list[Any]:
        return list(self.backbone.variables)

    @property
    def repeats_features(self) -> bool:
        return self.freeze_batch_norm

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: MetricLoss | None = None,
        metrics: Any = None,
        **options: Any,
    ) -> None:
        if options.get("mask_penalty") and self.embedding.parts != "masks":
            raise UsageError(
                f"mask_penalty={options['mask_penalty']} drives masks apart; here are "
                f"{self.embedding.parts}. Leave it out, or give parts='masks'."
            )
        super().compile(optimizer, loss, metrics, **options)

    def features(self, images: Any, training: bool = False) -> Any:
        """Returns the backbone's output as vectors, `(batch, feature_dim)`.

        Raises:
            ValueError: If the backbone is built for images of another size.
        """
        maps = self.maps(images, training)
        return maps if self.pool is None else self.pool(maps)

    def maps(self, images: Any, training: bool = False) -> Any:
        """Returns the backbone's output as it is, before it is pooled.

        Raises:
            ValueError: If the backbone is built for images of another size.
        """
        self._check_size(images)
        if self.freeze_batch_norm:
            return self._frozen_backbone(images, training)
        return self.backbone(images, training=training)

    def _check_size(self, images: Any) -> None:
        built_for, received = self.backbone.input_shape[1:3], images.shape[1:3]
        sides = zip(built_for, received, strict=True)
        if any(None not in pair and pair[0] != pair[1] for pair in sides):
            raise ValueError(
                f"This network is built for images of {_times(built_for)} pixels; "
                f"received images of {_times(received)}. Use --image_size="
                f"{built_for[0]}, or train a network for the other size."
            )

    def project(self, features: Any, training: bool = False) -> Any:
        """Returns raw vectors; see `DivideConquerEmbedding.project`."""
        return self.embedding.project(self.dropout(features, training=training))

    def part(self, raw: Any, learner: Any) -> Any:
        """Returns the part of a learner; see `DivideConquerEmbedding.part`."""
        return self.embedding.part(raw, learner)

    def embed(self, features: Any, learner: Any = None, training: bool = False) -> Any:
        """Returns the embedding of features."""
        return self.embedding(
            self.dropout(features, training=training), learner=learner
        )

    def call(self, images: Any, learner: Any = None, training: bool = False) -> Any:
        return self.embed(self.features(images, training), learner, training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "embedding": keras.saving.serialize_keras_object(self.embedding),
            "dropout": self.dropout.rate,
            "freeze_batch_norm": self.freeze_batch_norm,
            "pooling": self.pooling,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> EmbeddingModel:
        """Builds the model that `get_config` described."""
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name))
            for name in ("backbone", "embedding")
        }
        return cls(**parts, **config)


@keras.saving.register_keras_serializable(package="dce_tf")
class FirstToken(keras.layers.Layer):
    """Takes the first token, which stands for the whole image in a ViT.

    Call arguments:
        tokens: Float tensor of shape `(batch, tokens, channels)`.

    Returns:
        Float tensor of shape `(batch, channels)`.
    """

    def call(self, tokens: Any) -> Any:
        return tokens[:, 0]


def _times(sides: Sequence[int | None]) -> str:
    return " × ".join("any number of" if side is None else str(side) for side in sides)


POOLINGS = ("avg", "max", "gem", "cls")


def _pooling_layer(pooling: str, rank: int) -> keras.layers.Layer | None:
    if pooling not in POOLINGS:
        raise ValueError(
            f"`pooling` must be one of {', '.join(POOLINGS)}. Received: {pooling!r}."
        )
    if pooling == "cls" and rank != 3:
        raise ValueError(
            "pooling='cls' takes the first token of (batch, tokens, channels); this "
            f"backbone returns {rank - 2} spatial axes. Use avg, max or gem."
        )
    layers = keras.layers
    if rank == 2:
        return None
    if pooling == "gem":
        return GeneralizedMeanPooling()
    if pooling == "cls":
        return FirstToken(dtype="float32")
    kind = {
        ("avg", 3): layers.GlobalAveragePooling1D,
        ("max", 3): layers.GlobalMaxPooling1D,
        ("avg", 4): layers.GlobalAveragePooling2D,
        ("max", 4): layers.GlobalMaxPooling2D,
    }[pooling, rank]
    return kind(dtype="float32")


def set_precision(model: keras.Model, policy: str) -> None:
    """Gives every layer of a model a dtype policy; one loaded from a file has its own.

    Args:
        model: Changed in place.
        policy: Such as `"mixed_bfloat16"`; weights stay in float32.
    """
    for layer in model._flatten_layers():
        if not isinstance(layer, keras.Model):
            layer.dtype_policy = keras.dtype_policies.get(policy)
