"""Lets Keras load what holds our classes, before they are imported.

`keras.models.load_model` finds a class by the name under which it was registered, and
registering wants the class, which wants TensorFlow. So `import dce_tf` registers
stand-ins, once Keras is there: at once, or when somebody imports it. A stand-in imports
its class when Keras builds one, and the class then takes its place.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

REGISTERED = {
    "dce_tf.network.distillation": ("Distillation",),
    "dce_tf.network.fitting": ("ModelWithLoss",),
    "dce_tf.network.layers": (
        "DivideConquerEmbedding",
        "GeneralizedMeanPooling",
        "ImageNetPreprocessing",
    ),
    "dce_tf.evaluation.keras_metrics": ("MeanAveragePrecisionAtR", "RecallAtK"),
    "dce_tf.network.model": ("EmbeddingModel", "FirstToken"),
    "dce_tf.losses.angular": ("AngularLoss",),
    "dce_tf.losses.arcface": ("ArcFaceLoss",),
    "dce_tf.losses.choose": ("WeightedSum",),
    "dce_tf.losses.circle": ("CircleLoss",),
    "dce_tf.losses.contrastive": ("ContrastiveLoss",),
    "dce_tf.losses.contrastive_softmax": ("NTXentLoss", "SupConLoss"),
    "dce_tf.losses.cosface": ("CosFaceLoss",),
    "dce_tf.losses.cross_batch_memory": ("CrossBatchMemory",),
    "dce_tf.losses.fastap": ("FastAPLoss",),
    "dce_tf.losses.lifted_structure": ("LiftedStructureLoss",),
    "dce_tf.losses.margin": ("MarginLoss",),
    "dce_tf.losses.multi_similarity": ("MultiSimilarityLoss",),
    "dce_tf.losses.n_pairs": ("NPairsLoss",),
    "dce_tf.losses.normalized_softmax": ("NormalizedSoftmaxLoss",),
    "dce_tf.losses.pairs": ("PairLoss",),
    "dce_tf.losses.proxies": ("ClassifyingLoss", "ProxyLoss"),
    "dce_tf.losses.proxy_anchor": ("ProxyAnchorLoss",),
    "dce_tf.losses.proxy_nca": ("ProxyNCALoss",),
    "dce_tf.losses.recall_at_k": ("RecallAtKLoss",),
    "dce_tf.losses.snr": ("SNRLoss",),
    "dce_tf.losses.soft_triple": ("SoftTripleLoss",),
    "dce_tf.losses.tfa": (
        "AddonsContrastive",
        "AddonsLiftedStruct",
        "AddonsLoss",
        "AddonsNPairs",
        "AddonsTripletHard",
        "AddonsTripletSemiHard",
    ),
    "dce_tf.losses.threshold_consistency": ("ThresholdConsistentLoss",),
    "dce_tf.losses.triplet": ("TripletLoss",),
}
"""The serialisable classes by module; `tests/test_face.py` keeps it complete."""


def announce() -> None:
    """Registers the stand-ins, now or right after the first import of Keras."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "saving"):
        _register(keras)
    else:
        sys.meta_path.insert(0, _AfterKeras())


def _register(keras: Any) -> None:
    known = keras.saving.get_custom_objects()
    for module, names in REGISTERED.items():
        for name in names:
            known.setdefault(f"dce_tf>{name}", _stand_in(module, name))


def _stand_in(module: str, name: str) -> type:
    def from_config(cls: type, config: dict[str, Any]) -> Any:
        del cls
        return getattr(importlib.import_module(module), name).from_config(config)

    return type(name, (), {"from_config": classmethod(from_config)})


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Waits for the first import of Keras, not only for a look whether it is there."""

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds Keras as everybody else would, to be told when it is there."""
        del path, target
        if fullname != "keras" or self._looking:
            return None
        self._looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module: ModuleType) -> None:
                load(module)
                _register(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)

            # An attribute of this one loader, which loads nothing else.
            vars(spec.loader)["exec_module"] = load_and_register
        return spec
