"""How the weights move."""

from __future__ import annotations

import dataclasses

from dce_tf.base.errors import UsageError
from dce_tf.config.setting import Part, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Part):
    """How the weights move.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    optimizer: str = setting(
        "adam", "Optimiser: 'adam' (coupled L2), 'adamw', 'sgd(momentum=0.9)'."
    )
    lr_schedule: str = setting(
        "constant",
        "Factor on all learning rates: 'constant', 'cosine(final=0)', "
        "'step(epochs=(60, 120), factor=0.1)'.",
    )
    warmup_epochs: float = setting(
        0.0, "Epochs over which the learning rates rise from 0.", lowest=0
    )
    scale_lr: bool = setting(
        False, "Multiply all learning rates by the number of devices."
    )
    clip_norm: float | None = setting(
        None, "Longest L2 norm of the whole gradient; default: any.", lowest=1e-12
    )
    ema: float = setting(
        0.0,
        "Evaluate and keep a moving average of the weights that keeps this share of "
        "itself at each step, such as 0.999; 0 for none.",
        lowest=0,
        below=1,
    )
    backbone_lr: float = setting(
        1e-5, "Learning rate of the backbone.", lowest=0, basic=True
    )
    backbone_wd: float = setting(1e-4, "L2 added to its gradient.", lowest=0)
    layer_decay: float = setting(
        1.0,
        "Factor from block to block on the learning rate of the backbone, such as 0.9: "
        "the last one has --backbone_lr, the one before it 0.9 of that, and so on.",
        lowest=0,
    )
    embedding_lr: float = setting(
        1e-5, "Learning rate of the embedding.", lowest=0, basic=True
    )
    embedding_wd: float = setting(1e-4, "L2 added to its gradient.", lowest=0)
    mask_lr: float | None = setting(
        None, "Learning rate of masks; default: 100 × embedding_lr.", lowest=0
    )
    mask_wd: float = setting(0.0, "L2 added to their gradient.", lowest=0)
    loss_lr: float | None = setting(
        None,
        "Learning rate of what a loss learns, proxies and β; default: 100 × "
        "embedding_lr.",
        lowest=0,
    )

    def check(self) -> None:
        """See `Part`."""
        if not 0 < self.layer_decay <= 1:
            near = 1.0 if self.layer_decay > 1 else 0.5
            raise UsageError(
                f"--layer_decay={self.layer_decay} must be above 0 and at most 1, as "
                "the first blocks of a pretrained network are to change least. Use "
                f"--layer_decay={near}."
            )

    def rate_of(self, what: str) -> float:
        """Returns the learning rate of masks or of what a loss learns.

        Args:
            what: `"mask"` or `"loss"`.
        """
        rate: float | None = getattr(self, f"{what}_lr")
        return 100 * self.embedding_lr if rate is None else rate
