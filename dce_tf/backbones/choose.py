"""From the `--backbone` flag to a network."""

from __future__ import annotations

from pathlib import Path

import keras

from dce_tf.backbones import BACKBONES
from dce_tf.errors import UsageError, first_line


def check_backbone(spec: str) -> None:
    """Checks that `spec` names a backbone, building nothing.

    Raises:
        UsageError: If it is neither an existing `.keras` file nor a known name.
    """
    if not spec.endswith(".keras"):
        BACKBONES.check(spec)
    elif not Path(spec).is_file():
        raise UsageError(f"--backbone={spec}: there is no such file.")


def build_backbone(spec: str, *, image_size: int | None = None) -> keras.Model:
    """Builds the backbone that `spec` names.

    Args:
        spec: `PATH.keras`, any Keras model from 0–255 RGB to a feature map, tokens or a
            vector, or a registered name with options.
        image_size: Side of the input in pixels, for networks that are built for one;
            default: their own.

    Raises:
        UsageError: If `spec` is no known name.
        ValueError: If the file or its weights cannot be read, or the model in it is
            not from RGB images to features.
    """
    if not spec.endswith(".keras"):
        return BACKBONES.build(spec, image_size=image_size)
    try:
        model = keras.models.load_model(spec, compile=False)
    except Exception as error:
        raise ValueError(
            f"--backbone={spec}: cannot be read as a Keras model: {first_line(error)}"
        ) from error
    shapes = model.input_shape, model.output_shape
    if not all(isinstance(shape, tuple) for shape in shapes) or not (
        len(shapes[0]) == 4
        and shapes[0][-1] in (3, None)
        and len(shapes[1]) in (2, 3, 4)
    ):
        raise ValueError(
            f"--backbone={spec}: expected one input (batch, height, width, 3) and "
            "one output (batch, [height, width or tokens,] channels), found "
            f"{shapes[0]} → {shapes[1]}."
        )
    return model
