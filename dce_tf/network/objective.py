"""What a step minimises: the loss of a learner, of the whole embedding, or of both."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.losses import MetricLoss
from dce_tf.network.teaching import similarity_cross_entropy

TRAINS = ("learner", "learner+whole", "all", "all+whole")


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """What the loss is computed on, and with which weight.

    Attributes:
        train: While learners train: `"learner"`, the one whose cluster the batch is of;
            `"learner+whole"`, that and the whole embedding; `"all"`, every learner, the
            gradient of each image scaled by how near it is to the learner's centroid;
            `"all+whole"`.
        whole_weight: Of the whole embedding's loss beside that of learners.
        teach: Weight of what the whole embedding learns from the batch's learner: see
            `similarity_cross_entropy` (Roth et al., S2SD, ICML 2021, equation 3;
            Ypsilantis et al., UDON, NeurIPS 2024).
        teach_temperature: Divides those similarities.
        decorrelation: Weight of the mean squared correlation between the numbers of two
            learners over the batch, which drives learners apart (in the spirit of
            Opitz et al., BIER, ICCV 2017).
        nearness_temperature: See `DivideConquerEmbedding.nearness`.
    """

    train: str = "learner"
    whole_weight: float = 1.0
    teach: float = 0.0
    teach_temperature: float = 0.1
    decorrelation: float = 0.0
    nearness_temperature: float = 0.1

    def __post_init__(self) -> None:
        if self.train not in TRAINS:
            raise UsageError(
                f"train={self.train!r}: expected one of {', '.join(TRAINS)}."
            )
        if self.teach and self.train != "learner+whole":
            raise UsageError(
                f"teach={self.teach} lets the learner of a batch teach the whole "
                f"embedding, and train={self.train!r} has not both. Use "
                "train='learner+whole'."
            )
        if self.decorrelation and not self.trains_all:
            raise UsageError(
                f"decorrelation={self.decorrelation} needs all learners on each batch; "
                f"train={self.train!r} trains one. Use train='all+whole'."
            )

    @property
    def trains_all(self) -> bool:
        """Whether every learner trains on every batch, and centroids are needed."""
        return self.train in ("all", "all+whole")

    def __call__(
        self,
        loss: MetricLoss,
        model: Any,
        raw: Any,
        labels: Any,
        *,
        learner: Any = None,
        nearness: Any = None,
        seed: Any = None,
    ) -> Any:
        """Returns the loss of a batch, a float32 scalar.

        Args:
            loss: Compares embeddings.
            model: Has `part`, as `EmbeddingModel`.
            raw: Raw vectors of the images, `(batch, raw_units)`.
            labels: Class of each image, integers `(batch,)` or `(batch, 1)`.
            learner: Whose cluster the batch is of, integer scalar tensor; None trains
                the whole embedding alone.
            nearness: Of each image to each learner's centroid, float32 `(batch,
                num_learners)`; None unless all learners train.
            seed: Decides what miners draw, int32 `(2,)`.
        """

        def loss_of(embedding: Any, learner: Any) -> Any:
            return loss.compute(labels, embedding, learner=learner, seed=seed)

        whole = None
        if learner is None or self.train.endswith("+whole"):
            whole = model.part(raw, None)
        if learner is None:
            return loss_of(whole, None)
        if self.trains_all:
            total = self._of_all(model, raw, nearness, loss_of)
        else:
            part = model.part(raw, learner)
            total = loss_of(part, learner)
        if whole is None:
            return total
        total += self.whole_weight * loss_of(whole, None)
        if self.teach:
            total += self.teach * similarity_cross_entropy(
                part, whole, self.teach_temperature
            )
        return total

    def _of_all(self, model: Any, raw: Any, nearness: Any, loss_of: Any) -> Any:
        parts = [
            model.part(raw, tf.constant(each)) for each in range(nearness.shape[1])
        ]
        total = 0.0
        for each, part in enumerate(parts):
            share = nearness[:, each, None]
            # The value stays, and the gradient of each image is scaled.
            shared = share * part + (1 - share) * tf.stop_gradient(part)
            total += loss_of(shared, tf.constant(each))
        if self.decorrelation:
            total += self.decorrelation * correlation(parts)
        return total


def correlation(parts: list[Any]) -> Any:
    """Returns the mean squared correlation between the numbers of two learners.

    Args:
        parts: The embeddings of each learner, float32 `(batch, learner_units)`.

    Returns:
        float32 scalar, 0 to 1; 0 for one learner.
    """
    centred = [part - tf.reduce_mean(part, axis=0) for part in parts]
    scaled = [tf.math.l2_normalize(part, axis=0) for part in centred]
    pairs = [
        tf.reduce_mean(tf.square(tf.matmul(one, other, transpose_a=True)))
        for number, one in enumerate(scaled)
        for other in scaled[number + 1 :]
    ]
    return tf.add_n(pairs) / len(pairs) if pairs else tf.constant(0.0)
