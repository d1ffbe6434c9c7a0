"""From encoded bytes to network input: the same functions everywhere.

Training, evaluation, clustering and the exported model all read images here, with
core TensorFlow ops only, so that a served embedding is the evaluated one.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.bitmaps import HEADER_BYTES, decode_with_table, has_colour_table
from dce_tf.exif import turn_upright

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
    zeros = tf.constant(bytes(HEADER_BYTES))
    start = tf.strings.substr(data, 0, HEADER_BYTES) + zeros
    header = tf.io.decode_raw(start, tf.uint8)[:HEADER_BYTES]
    webp = tf.constant(list(b"WEBP"), tf.uint8)
    image = tf.case(
        [
            (tf.reduce_all(header[8:12] == webp), lambda: _decode_webp(data)),
            (has_colour_table(header), lambda: decode_with_table(data, header)),
        ],
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(turn_upright(image, data), (None, None, 3))


def _decode_webp(data: Any) -> Any:
    # TensorFlow does not drop alpha from WebP by itself.
    image = tf.io.decode_image(data, expand_animations=False)
    return tf.ensure_shape(image, (None, None, None))[..., :3]


def evaluation_image(image: Any, image_size: int) -> Any:
    """Scales the shorter side to 256/224 of `image_size` and crops the centre.

    Both happen in one resampling, so a very long image costs no more memory.

    Args:
        image: uint8 tensor of shape `(height, width, 3)`.
        image_size: Side of the crop in pixels.

    Returns:
        float32 tensor of shape `(image_size, image_size, 3)`, 0 to 255.
    """
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    target = float(round(image_size * RESIZE_RATIO))
    scaled = tf.floor(target * shape / tf.reduce_min(shape) + 1e-3)
    offset = tf.round((scaled - image_size) / 2)
    return _resample(image, image_size, scaled / shape, -offset)


def training_image(
    image: Any, image_size: int, seed: Any, *, min_area: float = 0.08, flip: bool = True
) -> Any:
    """Takes a random resized crop and flips half of all images left to right.

    The crop covers `min_area` to all of the image at an aspect ratio of 3/4 to 4/3,
    drawn as in "Going deeper with convolutions" (Szegedy et al. 2015).

    Args:
        image: uint8 tensor of shape `(height, width, 3)`.
        image_size: Side of the result in pixels.
        seed: int32 tensor of shape `(2,)`; the same seed gives the same crop.
        min_area: Smallest share of the image's area, above 0 to 1.
        flip: Whether to flip.

    Returns:
        float32 tensor of shape `(image_size, image_size, 3)`, 0 to 255.
    """
    seeds = tf.random.split(seed, 2)
    offset, extent = sample_crop(tf.shape(image)[:2], seeds[0], min_area)
    crop = tf.slice(image, tf.pad(offset, [[0, 1]]), tf.concat([extent, [3]], 0))
    scale = image_size / tf.cast(extent, tf.float32)
    resized = _resample(crop, image_size, scale, tf.zeros(2))
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


def _resample(image: Any, image_size: int, scale: Any, translation: Any) -> Any:
    """Maps pixel (y, x) to (y, x) · scale + translation, bilinear and antialiased."""
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis],
        size=(image_size, image_size),
        scale=scale,
        translation=translation,
        kernel_type="triangle",
        antialias=True,
    )
    return tf.ensure_shape(resampled[0], (image_size, image_size, 3))
