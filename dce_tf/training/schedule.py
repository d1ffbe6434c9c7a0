"""When what happens: one small object instead of settings that change."""

from __future__ import annotations

import dataclasses
import enum

from dce_tf.errors import UsageError


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

    Raises:
        UsageError: If finetuning would come before the full embedding.
    """

    num_epochs: int
    full_embedding_epoch: int
    finetune_epoch: int
    recluster_every: int = 2

    def __post_init__(self) -> None:
        if self.full_embedding_epoch > self.finetune_epoch:
            raise UsageError(
                f"--full_embedding_epoch={self.full_embedding_epoch} must not be after "
                f"--finetune_epoch={self.finetune_epoch}: finetuning trains the whole "
                "embedding."
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
