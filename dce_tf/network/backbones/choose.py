"""From the `--backbone` flag to a network."""

from __future__ import annotations

from pathlib import Path

import keras

from dce_tf.network.backbones import BACKBONES
from dce_tf.network.backbones.model_file import (
    check_features,
    check_model_path,
    is_model_path,
    read_model,
)


def check_backbone(spec: str) -> None:
    """Checks that `spec` names a backbone, building nothing.

    Raises:
        UsageError: If it is neither an existing `.keras` file nor a known name.
        ValueError: If the file is damaged, or something else under that name.
    """
    if is_model_path(spec) or (Path(spec).is_dir() and spec not in BACKBONES):
        check_model_path(Path(spec), f"--backbone={spec}")
    else:
        BACKBONES.check(spec)


def check_backbone_file(spec: str, image_size: int) -> None:
    """Reads a backbone that is a file, so that what is wrong with it shows at once.

    Args:
        spec: As of `build_backbone`; of a registered name nothing is read.
        image_size: Side of the images, in pixels.

    Raises:
        UsageError: As `build_backbone`.
        ValueError: As `build_backbone`.
    """
    if is_model_path(spec):
        build_backbone(spec, image_size=image_size)


def build_backbone(spec: str, *, image_size: int | None = None) -> keras.Model:
    """Builds the backbone that `spec` names.

    Args:
        spec: `PATH.keras`, any Keras model from 0–255 RGB to a feature map, tokens or a
            vector, or a registered name with options.
        image_size: Side of the input in pixels, for networks that are built for one;
            default: their own.

    Raises:
        UsageError: If `spec` is no known name, or no `.keras` file.
        ValueError: If the file or its weights cannot be read, or the model in it is
            not from RGB images of this size to features.
    """
    check_backbone(spec)
    if not is_model_path(spec):
        return BACKBONES.build(spec, image_size=image_size)
    flag = f"--backbone={spec}"
    model = read_model(Path(spec), flag)
    check_features(model, flag, image_size)
    return model
