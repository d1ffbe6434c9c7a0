"""When what happens: one small object instead of settings that change."""

from __future__ import annotations

import dataclasses
import enum
import math

from dce_tf.base.errors import UsageError
from dce_tf.config.stages import check_head_epochs


class Stage(enum.StrEnum):
    """What an epoch trains."""

    HEAD = "head"
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
        return self in (Stage.DIVIDE, Stage.FULL_EMBEDDING)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The stages of a run: head → divide → full embedding → finetune.

    Epochs count from 0 in all attributes; divisions come every so often from the first
    epoch after the head on.

    Attributes:
        num_epochs: Epochs in all.
        full_embedding_epoch: The first whose loss is on the whole embedding.
        finetune_epoch: The first without clusters.
        recluster_every: Epochs between two clusterings.
        num_clusters: Clusters of a division.
        hierarchical: Begin with one cluster and double them at each division.
        freeze_backbone_epochs: How many epochs after each division train the embedding
            alone, so that the learners settle first.
        head_epochs: How many epochs come before all others in which the whole embedding
            trains on all images and the backbone rests, so that good features are not
            distorted by a random head (Kumar et al., "Fine-tuning can distort
            pretrained features and underperform out-of-distribution", ICLR 2022).

    Raises:
        UsageError: If finetuning would come before the full embedding, a hierarchy
            cannot reach the number of clusters, or the head takes all epochs.
    """

    num_epochs: int
    full_embedding_epoch: int
    finetune_epoch: int
    recluster_every: int = 2
    num_clusters: int = 1
    hierarchical: bool = False
    freeze_backbone_epochs: int = 0
    head_epochs: int = 0

    def __post_init__(self) -> None:
        check_head_epochs(self.head_epochs, self.num_epochs)
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
        needed += self.head_epochs
        if self.hierarchical and needed >= self.finetune_epoch:
            raise UsageError(
                f"--hierarchical reaches --num_clusters={self.num_clusters} in epoch "
                f"{needed}, but --finetune_epoch={self.finetune_epoch} ends the "
                f"division. Use at least --finetune_epoch={needed + 1}, or fewer "
                "clusters."
            )

    def stage(self, epoch: int) -> Stage:
        """Returns the stage of an epoch, counted from 0."""
        if epoch < self.head_epochs:
            return Stage.HEAD
        if epoch >= self.finetune_epoch:
            return Stage.FINETUNE
        if epoch >= self.full_embedding_epoch:
            return Stage.FULL_EMBEDDING
        return Stage.DIVIDE

    def reclusters(self, epoch: int) -> bool:
        """Returns whether an epoch begins with a new division."""
        return self.stage(epoch).divided and self.is_due(epoch)

    def is_due(self, epoch: int) -> bool:
        """Returns whether it is `recluster_every` epochs since this was last so."""
        return self._since_division(epoch) == 0

    def _since_division(self, epoch: int) -> int:
        return (epoch - self.head_epochs) % self.recluster_every

    def clusters(self, epoch: int) -> int:
        """Returns how many clusters the division in force in an epoch has."""
        if not self.hierarchical:
            return self.num_clusters
        divided = max(0, epoch - self.head_epochs) // self.recluster_every
        divisions = min(divided, self.num_clusters.bit_length())
        return min(self.num_clusters, 2**divisions)

    def backbone_frozen(self, epoch: int) -> bool:
        """Returns whether only the embedding trains in an epoch."""
        stage = self.stage(epoch)
        return stage is Stage.HEAD or (
            stage is Stage.DIVIDE
            and self.clusters(epoch) > 1
            and self._since_division(epoch) < self.freeze_backbone_epochs
        )

    def left_head(self, epoch: int) -> bool:
        """Returns whether an epoch before this one is not of the head.

        From then on features move: a backbone that is frozen after a division may
        still have statistics of batch norm and an exponent of GeM that train.
        """
        return epoch > self.head_epochs
