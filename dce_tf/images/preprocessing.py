"""From encoded bytes to network input: the same functions everywhere.

Training, evaluation, clustering and the exported model all read images here, with
core TensorFlow ops only, so that a served embedding is the evaluated one.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.images.decoding import decode_stored
from dce_tf.images.exif import read_orientation, turn_upright
from dce_tf.images.partial import Picture, of_file, of_pixels

RESIZE_RATIO = 256 / 224  # Shorter side before the centre crop, per pixel of the crop.

_CROP_TRIES = 10
_CROP_ASPECT = (3 / 4, 4 / 3)


def decode(data: Any) -> Any:
    """Decodes an image to RGB, upright as its EXIF orientation says.

    Args:
        data: Scalar string tensor: a JPEG, PNG, GIF, BMP or WebP file. Of several
            frames the first is taken. Grey and palette images and CMYK JPEGs become
            RGB, 16 bits become 8, and alpha is dropped, not blended: what lies under
            transparent pixels shows.

    Returns:
        uint8 tensor of shape `(height, width, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: If `data` is no such file, or is damaged.
    """
    image = turn_upright(decode_stored(data), read_orientation(data))
    return tf.ensure_shape(image, (None, None, 3))


def open_picture(data: Any) -> Picture:
    """Returns the picture in an image file; see `decode` for the kinds.

    Args:
        data: Scalar string tensor.
    """
    return of_file(data)


def evaluation_image(picture: Picture | Any, image_size: int) -> Any:
    """Scales the shorter side to 256/224 of `image_size` and crops the centre.

    Both happen in one resampling, so a very long image costs no more memory.

    Args:
        picture: A `Picture`, or its pixels, uint8 `(height, width, 3)`.
        image_size: Side of the crop in pixels.

    Returns:
        float32 tensor of shape `(image_size, image_size, 3)`, 0 to 255.
    """
    picture = _as_picture(picture)
    shape = tf.cast(picture.shape, tf.float32)
    scaled = scaled_shape(shape, image_size)
    # Whole, so that damage anywhere is met.
    view = picture.look(tf.zeros(2, tf.int32), picture.shape, scaled)
    offset = tf.round((scaled - image_size) / 2)
    scale, start = scaled / shape / view.scale, view.start
    size = (image_size, image_size)
    return _resample(view.pixels, size, scale, -offset - start * scale)


def scaled_shape(shape: Any, image_size: int) -> Any:
    """Returns how large an image is when its shorter side is scaled for evaluation.

    Args:
        shape: float32 tensor `(height, width)` in pixels.
        image_size: Side of the network's input in pixels.

    Returns:
        Whole numbers, float32 `(height, width)`.
    """
    target = float(round(image_size * RESIZE_RATIO))
    return tf.floor(target * shape / tf.reduce_min(shape) + 1e-3)


def shrunken(picture: Picture, image_size: int) -> Any:
    """Scales an image down so that no more is left of it than evaluation needs.

    Args:
        picture: The image.
        image_size: Side of the network's input in pixels.

    Returns:
        uint8 tensor `(height, width, 3)`, its shorter side 256/224 of `image_size`; as
        it is if that is no smaller.
    """
    shape = tf.cast(picture.shape, tf.float32)
    scaled = tf.minimum(scaled_shape(shape, image_size), shape)
    view = picture.look(tf.zeros(2, tf.int32), picture.shape, scaled)
    scale, start = scaled / shape / view.scale, view.start
    pixels = tf.cond(
        tf.reduce_all(scaled == shape),
        lambda: tf.cast(view.pixels, tf.float32),
        lambda: _resample(
            view.pixels, tf.cast(scaled, tf.int32), scale, -start * scale
        ),
    )
    return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)


def _as_picture(picture: Picture | Any) -> Picture:
    return picture if isinstance(picture, Picture) else of_pixels(picture)


def training_image(
    picture: Picture | Any,
    image_size: int,
    seed: Any,
    *,
    min_area: float = 0.08,
    flip: bool = True,
) -> Any:
    """Takes a random resized crop and flips half of all images left to right.

    The crop covers `min_area` to all of the image at an aspect ratio of 3/4 to 4/3,
    drawn as in "Going deeper with convolutions" (Szegedy et al. 2015).

    Args:
        picture: A `Picture`, or its pixels, uint8 `(height, width, 3)`.
        image_size: Side of the result in pixels.
        seed: int32 tensor of shape `(2,)`; the same seed gives the same crop.
        min_area: Smallest share of the image's area, above 0 to 1.
        flip: Whether to flip.

    Returns:
        float32 tensor of shape `(image_size, image_size, 3)`, 0 to 255.
    """
    picture = _as_picture(picture)
    seeds = tf.random.split(seed, 2)
    offset, extent = sample_crop(picture.shape, seeds[0], min_area)
    size = (image_size, image_size)
    view = picture.look(offset, extent, tf.constant(size, tf.float32))
    scale = image_size / tf.cast(extent, tf.float32) / view.scale
    resized = _resample(view.pixels, size, scale, -view.start * scale)
    if not flip:
        return resized
    flipped = tf.random.stateless_uniform((), seeds[1]) < 0.5
    return tf.cond(flipped, lambda: tf.reverse(resized, [1]), lambda: resized)


def sample_crop(shape: Any, seed: Any, min_area: float = 0.08) -> tuple[Any, Any]:
    """Draws the window of a random resized crop.

    Args:
        shape: int32 tensor `(height, width)` in pixels.
        seed: int32 tensor of shape `(2,)`.
        min_area: Smallest share of the image's area, above 0 to 1.

    Returns:
        Offset and extent of the window, int32 tensors `(y, x)` in pixels. The largest
        central window of an allowed aspect ratio where ten draws do not fit.
    """
    seeds = tf.random.split(seed, 3)
    height, width = tf.unstack(tf.cast(shape, tf.float32))
    draws = (_CROP_TRIES,)
    share = tf.random.stateless_uniform(draws, seeds[0], min_area, 1.0)
    area = height * width * share
    log_aspect = tf.math.log(tf.constant(_CROP_ASPECT))
    aspect = tf.exp(
        tf.random.stateless_uniform(draws, seeds[1], *tf.unstack(log_aspect))
    )
    fallback_width = tf.minimum(width, height * _CROP_ASPECT[1])
    fallback_height = tf.minimum(height, width / _CROP_ASPECT[0])
    widths = tf.concat([tf.round(tf.sqrt(area * aspect)), [fallback_width]], 0)
    heights = tf.concat([tf.round(tf.sqrt(area / aspect)), [fallback_height]], 0)
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    fits = tf.concat([fits[:-1], [True]], 0)
    chosen = tf.argmax(tf.cast(fits, tf.int32))
    extent = tf.maximum(tf.round(tf.stack([heights[chosen], widths[chosen]])), 1)
    free = tf.cast(shape, tf.float32) - extent
    where = tf.where(
        chosen < _CROP_TRIES, tf.random.stateless_uniform((2,), seeds[2]), 0.5
    )
    offset = tf.minimum(tf.floor(where * (free + 1)), free)
    return tf.cast(offset, tf.int32), tf.cast(extent, tf.int32)


def _resample(pixels: Any, size: Any, scale: Any, translation: Any) -> Any:
    """Maps pixel (y, x) to (y, x) · scale + translation, bilinear and antialiased."""
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=pixels[tf.newaxis],
        size=size,
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=True,
    )
    known = size if isinstance(size, tuple) else (None, None)
    return tf.ensure_shape(resampled[0], (*known, 3))
