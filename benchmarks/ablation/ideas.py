"""What is compared: each idea is a few settings that differ from the baseline."""

from __future__ import annotations

from typing import Any

BASELINE = "K = 1"
REGULARISED = "dropout 0.2"  # What dividing has to beat beside dropout.
SETS = ("dogs", "grocery", "glyphs")
LOSSES = {
    "multi_similarity": "multi_similarity",
    "margin": "margin(miner=distance_weighted)",
    "proxy_anchor": "proxy_anchor",
    "supcon": "supcon",
}
# Everything at equal steps: --cluster_batches=share, whatever the clusters.
BASE: dict[str, Any] = {
    "num_clusters": 1,
    "embedding_dim": 128,
    "batch_size": 80,
    "samples_per_class": 4,
    "image_size": 128,
    "augmentation": "none",
    "trainable_blocks": 0,
    "embedding_lr": 1e-3,
    "embedding_wd": 0.0,
    "recluster_every": 10,
    "stages": "divide:0.4, whole:0.55, finetune:0.05",
}
# What the whole network is trained with, as --profile=best but for the smaller images;
# its features change, so that it is divided again and again.
WHOLE_NETWORK: dict[str, Any] = {
    "image_size": 96,
    "augmentation": "paper(crop_area=0.25)",
    "trainable_blocks": None,
    "backbone_lr": 1e-4,
    "embedding_lr": 1e-4,
    "recluster_every": 2,
    "cache_images": True,
}
# The learner and the whole embedding train together, so nothing has to be joined.
TOGETHER: dict[str, Any] = {
    "train": "learner+whole",
    "stages": "divide:0.95, finetune:0.05",
}
CLASSES: dict[str, Any] = {"divide": "classes"}
# The whole embedding trains on batches of clusters.
WHOLE: dict[str, Any] = {"stages": "whole:0.95, finetune:0.05"}


def _with(clusters: int, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    changes: dict[str, Any] = {"num_clusters": clusters}
    for part in parts:
        changes |= part
    return changes | more


IDEAS: dict[str, dict[str, Any]] = {
    BASELINE: {},
    # As published.
    "slices, K = 4": _with(4),
    "slices, K = 8": _with(8),
    "slices, K = 16": _with(16),
    "slices, K = 8, isolated": _with(8, isolated_learners=True),
    "masks, K = 8": _with(8, parts="masks"),
    # Classes are divided, not images.
    "slices, K = 8, classes divided": _with(8, CLASSES),
    "slices, K = auto, classes divided": _with(0, CLASSES),
    "masks, K = 8, classes divided": _with(8, CLASSES, parts="masks"),
    # What of it is the clusters, and what the layer of eight parts of unit length?
    "slices, K = 8, never divided": _with(8, stages="finetune:1"),
    "together, K = 8, classes divided at random": _with(8, TOGETHER, divide="random"),
    # Batches of clusters, and nothing else.
    "whole, K = 8": _with(8, WHOLE),
    "whole, K = 8, classes divided": _with(8, WHOLE, CLASSES),
    "whole, K = auto, classes divided": _with(0, WHOLE, CLASSES),
    # Learner and whole together.
    "together, K = 8": _with(8, TOGETHER),
    "together, K = 8, classes divided": _with(8, TOGETHER, CLASSES),
    "together, K = 4, classes divided": _with(4, TOGETHER, CLASSES),
    "together, K = 4": _with(4, TOGETHER),
    "together, K = 4, classes divided at random": _with(4, TOGETHER, divide="random"),
    "together, K = 4, classes divided, moving average": _with(
        4, TOGETHER, CLASSES, ema=0.999
    ),
    "together, K = 16, classes divided": _with(16, TOGETHER, CLASSES),
    "together, K = auto, classes divided": _with(0, TOGETHER, CLASSES),
    "together, K = 8, classes divided, K-means once": _with(
        8, TOGETHER, CLASSES, recluster_every=1000
    ),
    "together, K = 8, classes divided, neighbours": _with(
        8, TOGETHER, CLASSES, sampler="neighbours"
    ),
    "together, K = 8, classes divided, masks": _with(
        8, TOGETHER, CLASSES, parts="masks"
    ),
    "together, K = 8, masks": _with(8, TOGETHER, parts="masks"),
    "together, K = 8, nested": _with(8, TOGETHER, parts="nested"),
    "together, K = 8, learner's weight 4": _with(8, TOGETHER, whole_weight=0.25),
    # Learners teach the whole.
    "taught, K = 8": _with(8, TOGETHER, teach=1.0),
    "taught, K = 8, classes divided": _with(8, TOGETHER, CLASSES, teach=1.0),
    "taught by heads, K = 8": _with(8, TOGETHER, parts="heads", teach=1.0),
    "taught by heads, K = 8, classes divided": _with(
        8, TOGETHER, CLASSES, parts="heads", teach=1.0
    ),
    "taught by a head, K = 1 (S2SD)": _with(1, TOGETHER, parts="heads", teach=1.0),
    "taught by a head, K = 1 (S2SD), weight 4": _with(
        1, TOGETHER, parts="heads", teach=4.0
    ),
    # All learners on every batch.
    "all, K = 8": _with(8, TOGETHER, train="all"),
    "all and whole, K = 8, classes divided, decorrelated": _with(
        8, TOGETHER, CLASSES, train="all+whole", decorrelation=1.0
    ),
    "all and whole, K = 8": _with(8, TOGETHER, train="all+whole"),
    "all and whole, K = 8, decorrelated": _with(
        8, TOGETHER, train="all+whole", decorrelation=1.0
    ),
    # Batches of alike classes, without clusters.
    "neighbours, half": {"sampler": "neighbours"},
    "neighbours, a quarter": {"sampler": "neighbours(share=0.25)"},
    "neighbours, all": {"sampler": "neighbours(share=1, wider=1)"},
    "neighbours, half, by the embedding": {
        "sampler": "neighbours",
        "cluster_on": "embedding",
    },
    # Dividing and dropout, against dropout alone.
    "slices, K = 8, dropout 0.2": _with(8, dropout=0.2),
    "together, K = 4, classes divided, dropout 0.2": _with(
        4, TOGETHER, CLASSES, dropout=0.2
    ),
    "together, K = 4, classes divided at random, dropout 0.2": _with(
        4, TOGETHER, divide="random", dropout=0.2
    ),
    "together, K = 16, classes divided, dropout 0.2": _with(
        16, TOGETHER, CLASSES, dropout=0.2
    ),
    "together, K = auto, classes divided, dropout 0.2": _with(
        0, TOGETHER, CLASSES, dropout=0.2
    ),
    "taught by a head, K = 1 (S2SD), dropout 0.2": _with(
        1, TOGETHER, parts="heads", teach=1.0, dropout=0.2
    ),
    # What else holds off over-fitting.
    REGULARISED: {"dropout": 0.2},
    "dropout 0.5": {"dropout": 0.5},
    "weight decay 1e-4": {"embedding_wd": 1e-4},
    "moving average": {"ema": 0.999},
    "rate 3e-4": {"embedding_lr": 3e-4},
    "cosine": {"lr_schedule": "cosine"},
}

# What only a network whose backbone trains can try.
_HEAD: dict[str, Any] = {"head_epochs": 2, "embedding_lr": 1e-3}
WHOLE_IDEAS: dict[str, dict[str, Any]] = {
    "head first": _HEAD,
    "head first, dropout 0.2": {**_HEAD, "dropout": 0.2},
    "head first, layer decay 0.8, dropout 0.2": {
        **_HEAD,
        "dropout": 0.2,
        "layer_decay": 0.8,
    },
    "head's rate 1e-3": {"embedding_lr": 1e-3},
    "head's rate 1e-3, dropout 0.2": {"embedding_lr": 1e-3, "dropout": 0.2},
    "adapters, rank 8": {"lora_rank": 8, "backbone_lr": 1e-3, "embedding_lr": 1e-3},
    "cosine, dropout 0.2": {"lr_schedule": "cosine", "dropout": 0.2},
}
# The averaged weights are scored on held-out classes only, so those ideas are left out.
_OF_ALL = {name: changes for name, changes in IDEAS.items() if "ema" not in changes}
NETWORKS = {"frozen": IDEAS, "whole": {**_OF_ALL, **WHOLE_IDEAS}}
"""The ideas of each: of the embedding of a frozen backbone, or of the whole network."""
