"""When what happens: one small object instead of settings that change."""

from __future__ import annotations

import dataclasses
import enum
import math

from dce_tf.base.errors import UsageError


class Stage(enum.StrEnum):
    """What an epoch trains."""

    DIVIDE = "divide"
    FULL_EMBEDDING = "full_embedding"
    FINETUNE = "finetune"

    @property
    def whole_embedding(self) -> bool:
        """Whether the loss is on the whole embedding, not on one learner's part."""
        return self is not Stage.DIVIDE

    @property
    def divided(self) -> bool:
        """Whether batches come from clusters."""
        return self is not Stage.FINETUNE


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The stages of a run: divide → full embedding → finetune.

    Attributes:
        num_epochs: Epochs in all.
        full_embedding_epoch: The first whose loss is on the whole embedding.
        finetune_epoch: The first without clusters.
        recluster_every: Epochs between two clusterings.
        num_clusters: Clusters of a division.
        hierarchical: Begin with one cluster and double them at each division.
        freeze_backbone_epochs: How many epochs after each division train the embedding
            alone, so that the learners settle first.

    Raises:
        UsageError: If finetuning would come before the full embedding, or a hierarchy
            cannot reach the number of clusters.
    """

    num_epochs: int
    full_embedding_epoch: int
    finetune_epoch: int
    recluster_every: int = 2
    num_clusters: int = 1
    hierarchical: bool = False
    freeze_backbone_epochs: int = 0

    def __post_init__(self) -> None:
        if self.full_embedding_epoch > self.finetune_epoch:
            raise UsageError(
                f"--full_embedding_epoch={self.full_embedding_epoch} must not be after "
                f"--finetune_epoch={self.finetune_epoch}: finetuning trains the whole "
                "embedding."
            )
        if self.hierarchical and self.num_clusters & (self.num_clusters - 1):
            near = 2 ** round(math.log2(self.num_clusters))
            raise UsageError(
                f"--hierarchical doubles the clusters, so --num_clusters="
                f"{self.num_clusters} must be a power of two. The nearest is "
                f"--num_clusters={near}."
            )
        needed = (self.num_clusters.bit_length() - 1) * self.recluster_every
        if self.hierarchical and needed >= self.finetune_epoch:
            raise UsageError(
                f"--hierarchical reaches --num_clusters={self.num_clusters} in epoch "
                f"{needed}, but --finetune_epoch={self.finetune_epoch} ends the "
                f"division. Use at least --finetune_epoch={needed + 1}, or fewer "
                "clusters."
            )

    def stage(self, epoch: int) -> Stage:
        """Returns the stage of an epoch, counted from 0."""
        if epoch >= self.finetune_epoch:
            return Stage.FINETUNE
        if epoch >= self.full_embedding_epoch:
            return Stage.FULL_EMBEDDING
        return Stage.DIVIDE

    def reclusters(self, epoch: int) -> bool:
        """Returns whether an epoch begins with a new division."""
        return self.stage(epoch).divided and epoch % self.recluster_every == 0

    def clusters(self, epoch: int) -> int:
        """Returns how many clusters the division in force in an epoch has."""
        if not self.hierarchical:
            return self.num_clusters
        divisions = min(epoch // self.recluster_every, self.num_clusters.bit_length())
        return min(self.num_clusters, 2**divisions)

    def backbone_frozen(self, epoch: int) -> bool:
        """Returns whether only the embedding trains in an epoch."""
        return (
            self.stage(epoch) is Stage.DIVIDE
            and self.clusters(epoch) > 1
            and epoch % self.recluster_every < self.freeze_backbone_epochs
        )
