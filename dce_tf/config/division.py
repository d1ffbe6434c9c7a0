"""How the images are divided, and when."""

from __future__ import annotations

import dataclasses

from dce_tf.base.errors import UsageError
from dce_tf.config.setting import Part, setting
from dce_tf.config.stages import check_head_epochs, stage_starts

AUTO = 0
"""The number of clusters that stands for `auto`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DivisionSettings(Part):
    """How the images are divided, and when.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    num_clusters: int = setting(
        1,
        "Clusters, and so learners; 1 is the plain baseline. auto takes as many as "
        "leave each cluster twice the classes that a batch holds.",
        alias="nb_clusters",
        lowest=0,
        basic=True,
        words={"auto": AUTO},
    )
    divide: str = setting(
        "images",
        "What is clustered: images, or whole classes by the means of their images, so "
        "that no positive pair is lost; random deals classes out, to compare with.",
        choices=("images", "classes", "random"),
    )
    parts: str = setting(
        "slices",
        "A learner's part of the embedding: its slice; its slice and those before it; "
        "the whole weighed by a trained mask, or by a fixed one; or a head of its own "
        "beside the embedding, which is dropped in the end.",
        choices=("slices", "nested", "masks", "fixed_masks", "heads"),
    )
    head_dim: int = setting(512, "Width of each head, for --parts=heads.", lowest=1)
    isolated_learners: bool = setting(
        False, "Keep the parts of learners that are not training exactly as they are."
    )
    mask_penalty: float = setting(
        0.01, "Weight of the mean pairwise cosine of trained masks.", lowest=0
    )
    hierarchical: bool = setting(
        False,
        "Begin with one cluster and cut each in two until there are --num_clusters.",
    )
    freeze_backbone_epochs: int = setting(
        0,
        "After each division, train only the embedding for this many epochs.",
        alias="mod_epoch_freeze",
        lowest=0,
    )
    head_epochs: int = setting(
        0,
        "First train the embedding alone for this many epochs, on features of the "
        "backbone that are computed once, without augmentation; then all, or the last "
        "--trainable_blocks.",
        lowest=0,
        basic=True,
    )
    recluster_every: int = setting(
        2, "Epochs between two clusterings.", alias="mod_epoch", lowest=1
    )
    num_epochs: int = setting(
        200, "Epochs to train.", alias="nb_epochs", lowest=1, basic=True
    )
    steps_per_epoch: int | None = setting(
        None,
        "Batches per epoch, which the clusters share; default: as --cluster_batches "
        "says.",
        lowest=1,
    )
    max_steps: int | None = setting(
        None,
        "Steps to train in all, in place of --num_epochs: the last epoch may be "
        "shorter.",
        lowest=1,
        replaces=("cluster_batches",),
    )
    stages: str | None = setting(
        None,
        "The stages as shares of the epochs after --head_epochs, such as 'divide:0.4, "
        "whole:0.55, finetune:0.05', in place of --full_embedding_epoch and "
        "--finetune_epoch.",
        replaces=("full_embedding_epoch", "finetune_epoch"),
    )
    full_embedding_epoch: int | None = setting(
        None,
        "First epoch whose loss is on the whole embedding; default: finetune_epoch.",
        lowest=0,
        replaces=("stages",),
    )
    finetune_epoch: int | None = setting(
        None,
        "First epoch without clusters; default: the last 5 % of the epochs.",
        lowest=0,
        replaces=("stages",),
    )
    cluster_batches: str = setting(
        "share",
        "Batches per cluster and epoch: its share of as many as all images fill, so "
        "that an epoch has the same steps with any number of clusters; or as many as "
        "the largest or the smallest cluster has.",
        choices=("share", "max", "min"),
    )
    cluster_on: str = setting(
        "features",
        "What is clustered: the backbone's features, or the whole embedding.",
        choices=("features", "embedding"),
    )
    adapt_centroids: bool = setting(
        False, "Start k-means from the means of the old clusters in the new features."
    )
    min_cluster_classes: int = setting(
        2, "Classes of two or more images that each cluster must have.", lowest=2
    )
    cluster_tries: int = setting(
        1,
        "Starts of k-means to try until each cluster has --min_cluster_classes; a "
        "cluster that still has fewer is merged.",
        lowest=1,
    )
    cluster_balance: float | None = setting(
        None,
        "Factor by which a cluster may be larger or smaller than the mean; default: "
        "any size.",
        lowest=1,
    )
    cluster_features: str = setting(
        "pass",
        "Features to cluster: of a pass over all images, or, after a first such pass, "
        "as they come by in training, augmented and of older weights.",
        choices=("pass", "running"),
    )
    kmeans_points: int = setting(
        0,
        "Images on which k-means finds the centroids, drawn again each time; 0 for "
        "all. Every image is assigned.",
        lowest=0,
        group="speed",
    )
    features_dir: str | None = setting(
        None,
        "Keep what is clustered in a file of this folder, not in memory; needs "
        "--kmeans_points.",
        identity=False,
        group="speed",
    )
    kmeans_iterations: int = setting(100, "Most k-means iterations.", lowest=1)
    kmeans_restarts: int = setting(1, "Runs of k-means; the best is kept.", lowest=1)

    def check(self) -> None:
        """See `Part`."""
        if self.max_steps is None:  # Else the data say how many epochs there are.
            check_head_epochs(self.head_epochs, self.num_epochs)
        if self.hierarchical and self.parts == "slices":
            raise UsageError(
                "--hierarchical changes the parts of the learners as it grows, so "
                "--parts=slices does not fit. Use --parts=masks or "
                "--parts=fixed_masks, which begin as the whole embedding."
            )
        if self.stages and (
            self.full_embedding_epoch is not None or self.finetune_epoch is not None
        ):
            raise UsageError(
                f"--stages={self.stages!r} says when each stage begins, and so do "
                "--full_embedding_epoch and --finetune_epoch. Pass one or the other."
            )
        if self.max_steps and not self.has_equal_epochs:
            raise UsageError(
                f"--max_steps={self.max_steps} needs epochs of equal length. Pass "
                "--cluster_batches=share or --steps_per_epoch."
            )
        if self.hierarchical and self.parts in ("nested", "heads"):
            raise UsageError(
                f"--hierarchical cuts learners in two, which --parts={self.parts} "
                "cannot. Use --parts=masks or --parts=fixed_masks."
            )
        if self.cluster_features == "running" and self.cluster_on == "embedding":
            raise UsageError(
                "--cluster_features=running gathers features, not embeddings. Use "
                "--cluster_on=features or --cluster_features=pass."
            )
        self._check_features_dir()

    def _check_features_dir(self) -> None:
        if self.features_dir and not self.kmeans_points:
            raise UsageError(
                "--features_dir keeps features out of memory, and k-means on all of "
                "them would want them there. Pass --kmeans_points, such as 1000000."
            )
        if self.features_dir and self.cluster_features == "running":
            raise UsageError(
                "--features_dir: --cluster_features=running keeps them in memory and "
                "in every checkpoint. Use --cluster_features=pass."
            )
        if self.features_dir and self.head_epochs:
            raise UsageError(
                f"--features_dir: --head_epochs={self.head_epochs} keeps the features "
                "of all images in memory, for every step of the head. Leave one of the "
                "two out."
            )

    @property
    def has_equal_epochs(self) -> bool:
        """Whether every epoch has the same number of steps."""
        return self.steps_per_epoch is not None or self.cluster_batches == "share"

    @property
    def finetune_from(self) -> int:
        """The first epoch without clusters."""
        if self.stages:
            return self._starts(self.stages)[1]
        if self.finetune_epoch is not None:
            return self.finetune_epoch
        return self.num_epochs - max(1, self.num_epochs // 20)

    @property
    def full_embedding_from(self) -> int:
        """The first epoch whose loss is on the whole embedding."""
        if self.stages:
            return self._starts(self.stages)[0]
        if self.full_embedding_epoch is not None:
            return self.full_embedding_epoch
        return self.finetune_from

    def _starts(self, stages: str) -> tuple[int, int]:
        after = max(0, self.num_epochs - self.head_epochs)
        whole, finetune = stage_starts(stages, after)
        return self.head_epochs + whole, self.head_epochs + finetune

    def shares_evenly(self, width: int, count: int) -> bool:
        """Returns whether this many learners get equal parts of the embedding.

        Args:
            width: Of the embedding.
            count: How many learners.
        """
        free = self.parts in ("masks", "heads") or count == AUTO
        return free or width % count == 0

    def takes_clusters(self, width: int, count: int) -> bool:
        """Returns whether this many clusters can be had; arguments as above."""
        doubled = count & (count - 1) == 0
        return self.shares_evenly(width, count) and (doubled or not self.hierarchical)
