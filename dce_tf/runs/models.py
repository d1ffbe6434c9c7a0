"""The model of a run, or of a file, for one's own code."""

from __future__ import annotations

from pathlib import Path

import keras

from dce_tf.network.backbones.model_file import read_model
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.outcome import load_best_model


def load_model(path: str | Path) -> keras.Model:
    """Loads the best model of a run, or a `.keras` file, to embed with.

    Args:
        path: A run directory, or a file.

    Returns:
        The model, not compiled: images, float `(batch, height, width, 3)`, 0 to 255, to
        embeddings `(batch, embedding_dim)`. `keras.models.load_model` also restores
        what a model was compiled with, to go on with `fit`.

    Raises:
        ValueError: If it is neither, has no model yet, or cannot be read.
    """
    path = Path(path)
    if path.suffix == ".keras":
        return read_model(path, str(path))
    return load_best_model(RunDirectory.opened(path))
