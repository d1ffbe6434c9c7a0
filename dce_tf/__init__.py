"""Divide and conquer the embedding space: deep metric learning for Keras 3.

The names below are public, and imported when they are first used: `import dce_tf` by
itself loads neither TensorFlow nor Keras. It also lets `keras.models.load_model` find
our classes, whichever is imported first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dce_tf.base import keras_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dce_tf.base.errors import UsageError
    from dce_tf.config import Config
    from dce_tf.datasets.folder import read_folder
    from dce_tf.datasets.splits import Images
    from dce_tf.evaluation.keras_metrics import MeanAveragePrecisionAtR, RecallAtK
    from dce_tf.losses.base import MetricLoss, Space
    from dce_tf.losses.choose import build_loss
    from dce_tf.losses.contrastive import ContrastiveLoss
    from dce_tf.losses.contrastive_softmax import SupConLoss
    from dce_tf.losses.margin import MarginLoss
    from dce_tf.losses.multi_similarity import MultiSimilarityLoss
    from dce_tf.losses.pairs import PairLoss
    from dce_tf.losses.proxies import ProxyLoss
    from dce_tf.losses.proxy_anchor import ProxyAnchorLoss
    from dce_tf.losses.triplet import TripletLoss
    from dce_tf.miners.pairs import Miner, Pairs
    from dce_tf.network.distillation import Distillation
    from dce_tf.network.fitting import ModelWithLoss
    from dce_tf.network.layers import DivideConquerEmbedding
    from dce_tf.network.matches import explain_match
    from dce_tf.network.model import EmbeddingModel
    from dce_tf.retrieval.metrics import evaluate_retrieval
    from dce_tf.runs.models import load_model
    from dce_tf.runs.train import train
    from dce_tf.training.divided_data import DividedData
    from dce_tf.training.recluster import Recluster
    from dce_tf.training.schedule import Schedule

_HOMES = {
    "Config": "config",
    "ContrastiveLoss": "losses.contrastive",
    "Distillation": "network.distillation",
    "DivideConquerEmbedding": "network.layers",
    "DividedData": "training.divided_data",
    "EmbeddingModel": "network.model",
    "Images": "datasets.splits",
    "MarginLoss": "losses.margin",
    "MeanAveragePrecisionAtR": "evaluation.keras_metrics",
    "MetricLoss": "losses.base",
    "Miner": "miners.pairs",
    "ModelWithLoss": "network.fitting",
    "MultiSimilarityLoss": "losses.multi_similarity",
    "PairLoss": "losses.pairs",
    "Pairs": "miners.pairs",
    "ProxyAnchorLoss": "losses.proxy_anchor",
    "ProxyLoss": "losses.proxies",
    "RecallAtK": "evaluation.keras_metrics",
    "Recluster": "training.recluster",
    "Schedule": "training.schedule",
    "Space": "losses.base",
    "SupConLoss": "losses.contrastive_softmax",
    "TripletLoss": "losses.triplet",
    "UsageError": "base.errors",
    "build_loss": "losses.choose",
    "evaluate_retrieval": "retrieval.metrics",
    "explain_match": "network.matches",
    "load_model": "runs.models",
    "read_folder": "datasets.folder",
    "train": "runs.train",
}

__all__ = [
    "Config",
    "ContrastiveLoss",
    "Distillation",
    "DivideConquerEmbedding",
    "DividedData",
    "EmbeddingModel",
    "Images",
    "MarginLoss",
    "MeanAveragePrecisionAtR",
    "MetricLoss",
    "Miner",
    "ModelWithLoss",
    "MultiSimilarityLoss",
    "PairLoss",
    "Pairs",
    "ProxyAnchorLoss",
    "ProxyLoss",
    "RecallAtK",
    "Recluster",
    "Schedule",
    "Space",
    "SupConLoss",
    "TripletLoss",
    "UsageError",
    "__version__",
    "build_loss",
    "evaluate_retrieval",
    "explain_match",
    "load_model",
    "read_folder",
    "train",
]

keras_names.announce()


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(
            f"dce_tf has no public name {name!r}. Public are: {', '.join(__all__)}."
        )
    value = getattr(importlib.import_module(f"dce_tf.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the public names, imported or not."""
    return sorted({*globals(), *__all__})
