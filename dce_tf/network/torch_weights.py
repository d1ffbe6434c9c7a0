"""Reading weights that PyTorch programs wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError, first_line

# What a network may end in, which is not a part of a backbone.
HEADS = (
    "classifier.",
    "embedding.",
    "fc.",
    "head.",
    "last_linear.",
    "masks.",
    "projection_head.",
    "prototypes.",
)
_COUNTER = "num_batches_tracked"  # Of batch norm; nothing is computed from it.
_SHOWN = 3


def read_tensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Reads the tensors of a file, by their names.

    Args:
        path: `.safetensors`, or `.pt` or `.pth` as `torch.save` writes a state dict,
            which needs PyTorch and is read with `weights_only`: no code in it runs.

    Returns:
        float32 arrays.

    Raises:
        UsageError: If PyTorch is needed and not there.
        ValueError: If the file cannot be read.
    """
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        return _read_pickled(path)
    except UsageError:
        raise
    except Exception as error:
        raise ValueError(f"{path}: {first_line(error)}") from error


def _read_safetensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    from safetensors.numpy import load_file

    stored = load_file(path)
    return {name: array.astype(np.float32) for name, array in stored.items()}


def _read_pickled(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    try:
        import torch
    except ImportError as error:
        raise UsageError(
            f"{path}: reading what torch.save wrote needs PyTorch: pip install torch. "
            "A .safetensors file needs nothing."
        ) from error
    stored = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(stored, dict):
        raise TypeError(
            f"found a {type(stored).__name__}; expected a state dict, as "
            "torch.save(model.state_dict(), FILE) writes it."
        )
    stored = stored.get("state_dict", stored)
    return {
        name.removeprefix("module."): value.float().numpy()
        for name, value in stored.items()
        if isinstance(value, torch.Tensor)
    }


def check_names(
    found: Iterable[str],
    wanted: Iterable[str],
    network: str,
    path: Path,
    heads: Sequence[str] = HEADS,
) -> None:
    """Checks that a file holds the tensors of a network, and no others.

    A deeper network of the same family has every tensor that is looked for, and more.

    Args:
        found: Names of the tensors in the file.
        wanted: Names of those that the network has.
        network: What it is called, for the error.
        path: The file, for the error.
        heads: How the names of tensors begin that may be there, too.

    Raises:
        ValueError: If a tensor is missing, or there is one that is not known.
    """
    found, wanted = set(found), set(wanted)
    missing = sorted(wanted - found)
    surplus = sorted(
        name
        for name in found - wanted
        if not name.startswith(tuple(heads)) and not name.endswith(_COUNTER)
    )
    if not missing and not surplus:
        return
    differences = [
        f"{len(names)} {problem} ({_some(names)})"
        for names, problem in (
            (missing, "are missing"),
            (surplus, "belong to another network"),
        )
        if names
    ]
    head = (
        " If the ones too many are a head, store the file without them."
        if surplus and not missing
        else ""
    )
    raise ValueError(
        f"{path}: These are not the weights of {network}. Found {len(found)} tensors; "
        f"expected the {len(wanted)} of {network}: {' and '.join(differences)}. Name a "
        f"file of this network.{head}"
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, …" if len(names) > _SHOWN else shown
