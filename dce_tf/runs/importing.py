"""Models of the authors' PyTorch programs, as models here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.network.backbones import build_backbone
from dce_tf.network.backbones.resnet50 import load_torchvision
from dce_tf.network.layers import DivideConquerEmbedding
from dce_tf.network.model import EmbeddingModel
from dce_tf.network.torch_weights import check_names, read_tensors

_PARTS = ("embedding.weight", "embedding.bias")


def import_checkpoint(path: Path, num_clusters: int | None = None) -> EmbeddingModel:
    """Reads a checkpoint of the 2019 or of the 2021 program.

    Both are state dicts of torchvision's ResNet-50 with a layer `embedding`. That of
    the 2021 program has the masks too; of the 2019 program one must know how many
    slices are scaled to unit length by themselves.

    Args:
        path: `.pt`, `.pth` or `.safetensors`; see `read_tensors`.
        num_clusters: The K it was trained with; for a file without masks.

    Returns:
        The model, built, with the same embedding of an image up to its length.

    Raises:
        UsageError: If `num_clusters` is missing or does not fit.
        ValueError: If the file is no such checkpoint.
    """
    tensors = read_tensors(path)
    names = _embedding_names(path, tensors)
    backbone = build_backbone("resnet50(weights=None)")
    load_torchvision(backbone, tensors, path)
    _check_shapes(path, tensors, names, backbone.output_shape[-1])
    kernel, bias, *masks = (tensors[name] for name in names)
    embedding = _layer(len(bias), len(masks), num_clusters)
    model = EmbeddingModel(backbone, embedding)
    model.build((None, None, None, 3))
    weights = [kernel.T, bias]
    embedding.set_weights([*weights, np.stack(masks)] if masks else weights)
    return model


def _embedding_names(path: Path, tensors: dict[str, Any]) -> list[str]:
    """Returns the names of its weight, bias and masks."""
    missing = set(_PARTS) - set(tensors)
    if missing:
        raise ValueError(
            f"{path} has no {' and no '.join(sorted(missing))}: it is a backbone, not "
            "an embedder. As a backbone it is "
            f"--backbone='resnet50(weights=\"{path}\")'."
        )
    own = [name for name in tensors if name.startswith(("embedding.", "masks."))]
    num_masks = sum(name.startswith("masks.") for name in own)
    wanted = [*_PARTS, *(f"masks.{number}" for number in range(num_masks))]
    check_names(own, wanted, "an embedding layer", path, heads=())
    return wanted


def _check_shapes(
    path: Path, tensors: dict[str, Any], names: Sequence[str], num_features: int
) -> None:
    units = len(tensors["embedding.weight"])
    for name in names:
        expected = (units, num_features) if name == "embedding.weight" else (units,)
        if tensors[name].shape != expected:
            raise ValueError(
                f"{path}: {name} has the shape {tensors[name].shape}; expected "
                f"{expected}. This is not an embedder on ResNet-50."
            )


def _layer(
    units: int, num_masks: int, num_clusters: int | None
) -> DivideConquerEmbedding:
    if num_masks:
        if num_clusters not in (None, num_masks):
            raise UsageError(
                f"--num_clusters={num_clusters}: the file has {num_masks} masks. Leave "
                "the flag out."
            )
        return DivideConquerEmbedding(units, num_masks, parts="masks")
    if num_clusters is None:
        raise UsageError(
            "The file does not say how many learners it has: pass the K of its "
            "training, such as --num_clusters=8, or 1 for the baseline."
        )
    if units % num_clusters:
        raise UsageError(
            f"--num_clusters={num_clusters} does not divide its {units} dimensions."
        )
    return DivideConquerEmbedding(units, num_clusters)
