"""The model of a run, or of a file, for one's own code."""

from __future__ import annotations

from pathlib import Path

import keras

from dce_tf.hub.address import is_on_hub
from dce_tf.hub.fetching import local_source
from dce_tf.hub.files import KERAS
from dce_tf.network.backbones.model_file import read_model
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs.outcome import load_best_model


def load_model(path: str | Path) -> keras.Model:
    """Loads the best model of a run, a `.keras` file or the Hub, to embed with.

    Args:
        path: A run directory, a file, or `hf://user/name`, to which `push` has written
            with `--with_keras`.

    Returns:
        The model, not compiled: images, float `(batch, height, width, 3)`, 0 to 255, to
        embeddings `(batch, embedding_dim)`. `keras.models.load_model` also restores
        what a model was compiled with, to go on with `fit`.

    Raises:
        ValueError: If it is neither, has no model yet, or cannot be read.
    """
    if is_on_hub(path):
        return read_model(local_source(path, with_keras=True) / KERAS, str(path))
    path = Path(path)
    if path.suffix == ".keras":
        return read_model(path, str(path))
    return load_best_model(RunDirectory.opened(path))
