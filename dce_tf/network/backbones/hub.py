"""Every image network of KerasHub: presets by name, or folders that hold one."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from dce_tf.base.errors import UsageError, first_line
from dce_tf.network.backbones import BACKBONES
from dce_tf.network.layers import ImageNetPreprocessing


@BACKBONES.register("hub")
def hub(
    preset: str,
    weights: bool = True,
    preprocessing: str | None = None,
    image_size: int | None = None,
) -> keras.Model:
    """Builds the image network of a KerasHub preset, such as DINOv2 or SigLIP.

    Of a network for images and texts, such as SigLIP, it is the part for images. One
    that was trained at a fixed size is built for another by resizing its table of
    position embeddings.

    Args:
        preset: A name such as `"dinov2_small"`, downloaded once from Kaggle; a
            `"hf://…"` handle; or a folder that `save_to_preset` wrote.
        weights: Whether to load them, or draw random ones.
        preprocessing: `"caffe"`, `"tf"` or `"torch"`, see `ImageNetPreprocessing`, for
            a preset that does not say how its pixels were scaled.
        image_size: Side of the input in pixels; default: the preset's own.

    Raises:
        UsageError: If KerasHub is not installed.
        ValueError: If the preset cannot be had, or its network does not take this size.
    """
    library = _keras_hub()
    network = _load(library, preset, weights)
    own = network.input_shape[1]
    if own is not None:
        network = resized(network, image_size or own)
    images = keras.Input(network.input_shape[1:], name="images")
    x = _preprocess(library, preset, preprocessing)(images)
    # Some take a dictionary with the one input in it.
    features = network(keras.tree.map_structure(lambda _: x, network.input))
    return keras.Model(images, features, name=network.name)


def _keras_hub() -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise UsageError(
            "--backbone=hub(…) needs KerasHub: pip install keras-hub."
        ) from error
    return keras_hub


def _load(library: Any, preset: str, weights: bool) -> keras.Model:
    try:
        whole = library.models.Backbone.from_preset(
            preset, load_weights=weights, dtype="float32"
        )
    except Exception as error:
        raise ValueError(
            f"The preset {preset!r} cannot be had: {first_line(error)}. "
            "Presets are downloaded once from Kaggle, to ~/.cache/kagglehub: copy that "
            "folder from a machine with network, or save the preset there with "
            "`keras_hub.models.Backbone.from_preset(NAME).save_to_preset(FOLDER)` (and "
            "its ImageConverter) and name the folder: "
            "--backbone='hub(preset=\"FOLDER\")'."
        ) from error
    network = getattr(whole, "vision_encoder", whole)
    shape = network.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3:
        raise ValueError(
            f"The preset {preset!r} is a {type(whole).__name__}, which does not take "
            "images alone. Use one of an image network, such as 'dinov2_small'."
        )
    return network


def _preprocess(library: Any, preset: str, mode: str | None) -> keras.layers.Layer:
    if mode is not None:
        return ImageNetPreprocessing(mode, name="preprocess")
    try:
        converter = library.layers.ImageConverter.from_preset(preset)
    except Exception as error:
        raise ValueError(
            f"The preset {preset!r} does not say how to scale pixels: "
            f"{first_line(error)}. Say it: "
            f"--backbone='hub(preset=\"{preset}\", preprocessing=torch)', or caffe or "
            "tf; see ImageNetPreprocessing."
        ) from error
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    return keras.layers.Rescaling(scale, offset, name="preprocess")


def resized(network: keras.Model, image_size: int) -> keras.Model:
    """Builds a network of KerasHub again for another image size, with its weights.

    Tables of position embeddings are resized with bicubic interpolation, as Dosovitskiy
    et al. (ICLR 2021, section 3.2) do for fine-tuning at higher resolution.

    Args:
        network: Trained at a fixed size.
        image_size: Side in pixels.

    Raises:
        ValueError: If the size is no multiple of the patch size.
    """
    config = network.get_config()
    patch = _patch_size(network, image_size)
    before = dict(config)
    config["image_shape"] = (image_size, image_size, 3)
    if "position_embedding_shape" in config:
        # DINOv2 resizes its table whenever it is loaded, and back when it is saved,
        # which loses what was trained: here it has the right size.
        config["position_embedding_shape"] = config["image_shape"]
    if _sizes(config) == _sizes(before):
        return network
    changed = type(network).from_config(config)
    antialias = config.get("antialias_in_interpolation", False)
    for old, new in zip(network.weights, changed.weights, strict=True):
        values = ops.convert_to_numpy(old)
        if old.shape == new.shape:
            new.assign(values)
        elif "position_ids" not in old.path:
            new.assign(_resize_table(values, image_size // patch, antialias))
    for layer in changed.layers:
        if hasattr(layer, "interpolated_position_embeddings"):
            layer.interpolated_position_embeddings.assign(layer.position_embeddings)
    return changed


def _patch_size(network: keras.Model, image_size: int) -> int:
    patch = int(np.max(network.get_config().get("patch_size") or 1))
    if image_size % patch:
        near = max(1, round(image_size / patch)) * patch
        raise ValueError(
            f"--image_size={image_size} must be a multiple of the {patch} pixels of a "
            f"patch of {network.name}. The nearest is --image_size={near}."
        )
    return patch


def _sizes(config: dict[str, Any]) -> list[Any]:
    names = ("image_shape", "position_embedding_shape")
    return [list(config[name]) for name in names if config.get(name)]


def _resize_table(table: np.ndarray, grid: int, antialias: bool) -> Any:
    """Resizes `([1,] prefix + side², dim)`; what stands before the grid stays."""
    rows = table.reshape(-1, table.shape[-1])
    side = int(len(rows) ** 0.5)
    prefix = len(rows) - side**2
    places = rows[prefix:].reshape(1, side, side, -1)
    places = ops.image.resize(
        places, (grid, grid), interpolation="bicubic", antialias=antialias
    )
    places = ops.convert_to_numpy(places).reshape(grid**2, -1)
    return np.concatenate([rows[:prefix], places]).reshape(
        *table.shape[:-2], -1, table.shape[-1]
    )
