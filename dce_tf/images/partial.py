"""Images that are decoded no further than they are looked at.

Of a JPEG only the window that is wanted is decoded, and a large one at a half or a
quarter of its size, which its discrete cosine transform gives away. Every other kind
is decoded whole. Core TensorFlow ops only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from dce_tf.images import exif
from dce_tf.images.decoding import DCT_METHOD, decode_stored

REDUCTIONS = (1, 2, 4)
LEAST_OVERSAMPLING = 2.0
"""How many decoded pixels are left for each wanted one: below, the picture shows it."""


class View(NamedTuple):
    """What was decoded of a picture for a window of it.

    Attributes:
        pixels: uint8 `(height, width, 3)`, the window and little more.
        start: Where the window begins in them, float32 `(y, x)`.
        scale: How many of them make a pixel of the picture, float32 scalar, 1 or less.
    """

    pixels: Any
    start: Any
    scale: Any


class Picture(NamedTuple):
    """An image, upright, of which one knows the size before it is decoded.

    Attributes:
        shape: int32 tensor `(height, width)` in pixels.
        look: From the offset and the extent of a window, int32 `(y, x)`, and the size
            in pixels it is to be scaled to, float32 `(y, x)`, to a `View`.
    """

    shape: Any
    look: Callable[[Any, Any, Any], View]


def of_pixels(image: Any) -> Picture:
    """Returns a picture that is decoded already, uint8 `(height, width, 3)`."""

    def look(offset: Any, extent: Any, size: Any) -> View:
        del size
        return _cut(image, offset, extent)

    return Picture(tf.shape(image)[:2], look)


def of_file(data: Any) -> Picture:
    """Returns the picture in an image file.

    Args:
        data: The file, scalar string tensor.

    Raises:
        tf.errors.InvalidArgumentError: If `data` is damaged where one looks.
    """
    is_jpeg = tf.strings.substr(data, 0, 3) == b"\xff\xd8\xff"
    orientation = exif.read_orientation(data)

    def only_described() -> tuple[Any, Any]:
        nothing = tf.zeros((0, 0, 3), tf.uint8)
        return nothing, tf.image.extract_jpeg_shape(data)[:2]

    def decoded() -> tuple[Any, Any]:
        whole = exif.turn_upright(decode_stored(data), orientation)
        return whole, tf.shape(whole)[:2]

    # One condition, not three: each costs as much as decoding a small image.
    whole, stored = tf.cond(is_jpeg, only_described, decoded)
    orientation = tf.where(is_jpeg, orientation, 1)  # What is whole is turned already.
    swapped = exif.is_swapped(orientation)
    shape = tf.where(swapped, stored[::-1], stored)

    def look(offset: Any, extent: Any, size: Any) -> View:
        window = (offset, extent, size)
        return tf.cond(
            is_jpeg,
            lambda: _decode_window(data, orientation, stored, shape, window),
            lambda: _cut(whole, offset, extent),
        )

    return Picture(shape, look)


def _cut(image: Any, offset: Any, extent: Any) -> View:
    pixels = tf.slice(image, tf.pad(offset, [[0, 1]]), tf.concat([extent, [3]], 0))
    return View(tf.ensure_shape(pixels, (None, None, 3)), tf.zeros(2), tf.ones(()))


def _decode_window(
    data: Any, orientation: Any, stored: Any, shape: Any, window: tuple[Any, Any, Any]
) -> View:
    """Decodes the window of an upright JPEG out of how it is stored."""
    offset, extent, size = window
    flipped = exif.flipped_axes(orientation)
    swapped = exif.is_swapped(orientation)
    offset = tf.where(flipped, shape - offset - extent, offset)
    offset, extent = (tf.where(swapped, x[::-1], x) for x in (offset, extent))
    size = tf.where(swapped, size[::-1], size)
    room = tf.reduce_min(tf.cast(extent, tf.float32) / size) / LEAST_OVERSAMPLING
    choice = tf.reduce_sum(tf.cast(room >= REDUCTIONS[1:], tf.int32))
    reduction = tf.gather(REDUCTIONS, choice)
    first = offset // reduction
    last = -(-(offset + extent) // reduction)
    last = tf.minimum(last, -(-stored // reduction))
    cut = tf.concat([first, last - first], 0)
    pixels = tf.switch_case(
        choice, [_cropping_decoder(data, cut, ratio) for ratio in REDUCTIONS]
    )
    scale = 1 / tf.cast(reduction, tf.float32)
    before = tf.cast(offset, tf.float32) * scale - tf.cast(first, tf.float32)
    after = tf.cast(last, tf.float32) - tf.cast(offset + extent, tf.float32) * scale
    before, after = (tf.where(swapped, x[::-1], x) for x in (before, after))
    pixels = exif.turn_upright(pixels, orientation)
    return View(
        tf.ensure_shape(pixels, (None, None, 3)),
        tf.where(flipped, after, before),
        scale,
    )


def _cropping_decoder(data: Any, cut: Any, ratio: int) -> Callable[[], Any]:
    return lambda: tf.image.decode_and_crop_jpeg(
        data, cut, channels=3, ratio=ratio, dct_method=DCT_METHOD
    )
