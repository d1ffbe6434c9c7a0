"""Reading weights that PyTorch programs wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.errors import UsageError, first_line


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
    stored = stored.get("state_dict", stored)
    return {
        name.removeprefix("module."): value.float().numpy()
        for name, value in stored.items()
        if isinstance(value, torch.Tensor)
    }
