"""The network: backbone, pooling and the width of the embedding."""

from __future__ import annotations

import dataclasses

from dce_tf.base.errors import UsageError
from dce_tf.config.setting import Part, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings(Part):
    """The network: backbone, pooling and the width of the embedding.

    Raises:
        UsageError: If a value is out of range, or two values do not fit together.
    """

    backbone: str = setting(
        "resnet50",
        "Backbone: a registered name, a keras.applications name, a KerasHub preset as "
        "'hub(preset=NAME)', or a .keras file.",
        basic=True,
    )
    trainable_blocks: int | None = setting(
        None,
        "Train only this many of the last blocks of the backbone; default: all.",
        lowest=0,
    )
    lora_rank: int = setting(
        0,
        "Train low-rank adapters of this rank beside the dense layers and 1×1 "
        "convolutions of the backbone, and none of its own weights; the export has "
        "plain layers. 0 for none.",
        lowest=0,
    )
    lora_alpha: float | None = setting(
        None,
        "Adapters count --lora_alpha / --lora_rank times; default: once.",
        lowest=1e-6,
    )
    pooling: str = setting(
        "avg",
        "From feature map or tokens to features: average, maximum, generalised mean, "
        "first token.",
        choices=("avg", "max", "gem", "cls"),
    )
    gradient_checkpointing: bool = setting(
        False,
        "Compute transformer blocks again for the gradient; saves memory.",
        group="speed",
    )
    micro_batch_size: int = setting(
        0,
        "Compute the features of this many images of a batch at a time on each device: "
        "less memory for the same result. 0 computes them all at once.",
        lowest=0,
        group="speed",
    )
    freeze_batch_norm: bool = setting(
        True, "Keep the backbone's batch-norm statistics as they are; scales train."
    )
    dropout: float = setting(
        0.01, "Dropout on the features, 0 to 1.", lowest=0, below=1
    )
    embedding_dim: int = setting(
        128, "Width of the whole embedding.", alias="sz_embedding", lowest=1, basic=True
    )
    mixed_precision: str = setting(
        "float32",
        "Precision of the network; losses stay in float32.",
        choices=("float32", "bfloat16", "float16"),
        basic=True,
        group="speed",
    )

    def check(self) -> None:
        """See `Part`."""
        if self.lora_alpha is not None and not self.lora_rank:
            raise UsageError(
                f"--lora_alpha={self.lora_alpha} scales adapters, and there are none. "
                "Pass --lora_rank=8 too, or leave it out."
            )
        if self.lora_rank and self.trainable_blocks == 0:
            raise UsageError(
                f"--lora_rank={self.lora_rank} trains adapters in the blocks that "
                "train, and --trainable_blocks=0 trains none. Leave one of the two "
                "out."
            )
        if self.lora_rank and not self.freeze_batch_norm:
            raise UsageError(
                f"--lora_rank={self.lora_rank} changes the adapters alone, and "
                "--nofreeze_batch_norm the statistics of the backbone. Leave one of "
                "the two out."
            )
