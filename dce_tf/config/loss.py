"""What is learned from a batch, and what a batch is made of."""

from __future__ import annotations

import dataclasses

from dce_tf.base.errors import UsageError
from dce_tf.config.setting import Part, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossSettings(Part):
    """What is learned from a batch, and what a batch is made of.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    loss: str = setting(
        "margin",
        "Loss, such as 'margin(beta=1.2)', or a weighted sum: "
        "'margin() + 0.5 * proxy_anchor()'.",
        basic=True,
    )
    miner: str | None = setting(
        None,
        "Miner, such as 'distance_weighted(cutoff=0.5)', in place of the loss's own, "
        "which is 'nearest' for margin.",
    )
    mining: str = setting(
        "global",
        "Mine among the images of all replicas, or of each replica by itself.",
        choices=("global", "replica"),
    )
    train: str = setting(
        "learner",
        "What the loss is computed on while the images are divided: the learner of the "
        "batch's cluster, that and the whole embedding, or all learners, each as far "
        "as an image is near its centroid, without or with the whole embedding.",
        choices=("learner", "learner+whole", "all", "all+whole"),
    )
    whole_weight: float = setting(
        1.0, "Weight of the whole embedding's loss beside that of learners.", lowest=0
    )
    teach: float = setting(
        0.0,
        "Weight with which the whole embedding learns the similarities that the "
        "batch's learner sees; needs --train=learner+whole.",
        lowest=0,
    )
    teach_temperature: float = setting(
        0.1, "Divides the similarities that are taught.", lowest=1e-3
    )
    decorrelation: float = setting(
        0.0,
        "Weight of the squared correlation between learners; needs --train=all or "
        "all+whole.",
        lowest=0,
    )
    nearness_temperature: float = setting(
        0.1,
        "Divides the squared distances to the centroids, for --train=all and --route; "
        "small is one learner alone, large all alike.",
        lowest=1e-3,
    )
    batch_size: int = setting(
        80,
        "Images per batch, over all replicas.",
        alias="sz_batch",
        lowest=2,
        basic=True,
    )
    samples_per_class: int = setting(
        4,
        "Images of each class in a batch.",
        alias="num_samples_per_class",
        lowest=2,
        basic=True,
    )
    sampler: str = setting(
        "class_balanced",
        "How batches are drawn: 'class_balanced', 'grouped' (part of a batch from one "
        "group of alike classes), 'neighbours' (a class and those nearest to it) or "
        "'random', with options: 'class_balanced(short=drop)'.",
    )
    mix_batches: str = setting(
        "source",
        "What a batch of --dataset='mix(...)' holds: images of one source, or of all.",
        choices=("source", "mixed"),
    )
    mix_weights: str = setting(
        "size",
        "How often a source of a mix is drawn: by its size, or all equally.",
        choices=("size", "equal"),
    )

    def check(self) -> None:
        """See `Part`."""
        if self.batch_size % self.samples_per_class:
            near = max(2, round(self.batch_size / self.samples_per_class))
            near *= self.samples_per_class
            raise UsageError(
                f"--batch_size={self.batch_size} must be a multiple of "
                f"--samples_per_class={self.samples_per_class}. "
                f"The nearest that works is --batch_size={near}."
            )
        if self.batch_size < 2 * self.samples_per_class:
            raise UsageError(
                f"--batch_size={self.batch_size} holds one class of "
                f"--samples_per_class={self.samples_per_class} images, so there are no "
                f"negatives. Use at least --batch_size={2 * self.samples_per_class}."
            )
