"""Weights of a Keras backbone, for the same network in PyTorch.

    python -m benchmarks.reference.weights BACKBONE.keras WEIGHTS.npz

writes the weights of a `.keras` file, or of a backbone known by name, as NPZ, in the
order in which the network uses them, which is the order of PyTorch's parameters too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Sequence[npt.NDArray[np.float32]]


def keras_arrays(backbone: Any) -> list[npt.NDArray[np.float32]]:
    """Returns the weights of a Keras model as PyTorch would shape them.

    Args:
        backbone: Of convolutions, depthwise convolutions, batch norm and group norm.
    """
    arrays = []
    for layer in backbone.layers:
        values = [np.asarray(value) for value in layer.get_weights()]
        if values and values[0].ndim == 4:
            # Depthwise kernels are (height, width, channels, 1) in Keras.
            depthwise = type(layer).__name__ == "DepthwiseConv2D"
            axes = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
            values[0] = values[0].transpose(axes)
        arrays += values
    return arrays


def save_keras(backbone: Any, path: Path) -> None:
    """Writes the weights of a Keras model."""
    np.savez(path, *keras_arrays(backbone))


def read_arrays(path: Path) -> list[npt.NDArray[np.float32]]:
    """Reads what `save_keras` wrote."""
    with np.load(path) as stored:
        return [stored[f"arr_{number}"] for number in range(len(stored.files))]


def load_arrays(backbone: Any, arrays: Arrays) -> None:
    """Copies weights into a PyTorch backbone.

    Args:
        backbone: From `networks`.
        arrays: As `keras_arrays` returns them.

    Raises:
        ValueError: If they are of another network.
    """
    import torch

    targets = [
        tensor
        for name, tensor in backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    ]
    found = [array.shape for array in arrays]
    wanted = [tuple(target.shape) for target in targets]
    if found != wanted:
        place = next(
            (i for i, pair in enumerate(zip(found, wanted)) if pair[0] != pair[1]),  # noqa: B905
            min(len(found), len(wanted)),
        )
        raise ValueError(
            f"{len(found)} arrays for {len(wanted)} tensors, which differ at {place}: "
            f"{found[place : place + 1]} for {wanted[place : place + 1]}. Convert the "
            "weights of the same network."
        )
    with torch.no_grad():
        for target, array in zip(targets, arrays, strict=True):
            target.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def main() -> None:
    """Converts a backbone."""
    from dce_tf.network.backbones import build_backbone

    spec, path = sys.argv[1:]
    save_keras(build_backbone(spec), Path(path))


if __name__ == "__main__":
    main()
