"""BMP files, read in the graph: 8 bits per pixel with a table of colours, 24, and 32.

`tf.io.decode_bmp` passes tables and masks of colours over, reads headers of OS/2 as if
they were of Windows, and refuses a byte behind the pixels. What is rare is refused here
in a sentence, and nothing is decoded to other colours.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.images.refusals import required

_HEADER_BYTES = 66  # BITMAPFILEHEADER, BITMAPINFOHEADER, and three masks.
_FILE_HEADER_BYTES = 14
_WINDOWS_HEADERS = (40, 52, 56, 108, 124)  # Sizes of BITMAPINFOHEADER and later ones.
_PLAIN, _WITH_MASKS = 0, 3  # BI_RGB, BI_BITFIELDS
_BGRA = (0x00FF0000, 0x0000FF00, 0x000000FF)  # Masks of red, green, blue.
_TABLE_SIZE = 256
_TOO_LONG = 1 << 24  # Pixels of a side; TensorFlow takes far fewer in all.
_REMEDY = " is not read; convert it to PNG"


def decode_bmp(data: Any) -> Any:
    """Decodes a BMP to RGB.

    Args:
        data: The file, scalar string tensor.

    Returns:
        uint8 tensor `(height, width, 3)`; alpha is dropped.

    Raises:
        tf.errors.InvalidArgumentError: If it is of a rare kind or damaged.
    """
    header = tf.io.decode_raw(
        tf.strings.substr(data, 0, _HEADER_BYTES),
        tf.uint8,
        fixed_length=_HEADER_BYTES,
    )
    size, bits = _number(header, 14, 4), _number(header, 28, 2)
    packing = _number(header, 30, 4)
    is_windows = tf.reduce_any(size == _WINDOWS_HEADERS)
    is_plain = (packing == _PLAIN) & tf.reduce_any(bits == (8, 24, 32))
    is_masked = (packing == _WITH_MASKS) & (bits == 32)
    masks = tf.stack([_number(header, place, 4) for place in (54, 58, 62)])
    with required(is_windows, "a BMP with a header of ", size, " bytes", _REMEDY):
        bits = tf.identity(bits)
    with required(
        is_plain | is_masked,
        *("a BMP (bits per pixel: ", bits, ", compression: ", packing, ")", _REMEDY),
    ):
        bits = tf.identity(bits)
    with required(
        is_plain | tf.reduce_all(masks == _BGRA),
        *("a BMP with masks of colours other than BGRA", _REMEDY),
    ):
        exact = _without_trailing_bytes(data, header, bits)
    return tf.cond(
        bits == 8,
        lambda: _decode_with_table(exact, header),
        lambda: tf.io.decode_bmp(exact, channels=3),
    )


def _without_trailing_bytes(data: Any, header: Any, bits: Any) -> Any:
    width, height = _signed(_number(header, 18, 4)), _signed(_number(header, 22, 4))
    row = (bits * width + 31) // 32 * 4
    needed = _number(header, 10, 4) + row * tf.abs(height)
    there = tf.cast(tf.strings.length(data), tf.int64)
    sides = tf.stack([width, tf.abs(height)])
    with required(
        tf.reduce_all((sides > 0) & (sides < _TOO_LONG)),
        *("a BMP whose header says ", width, " by ", height, " pixels"),
    ):
        needed = tf.identity(needed)
    with required(
        needed <= there, "a BMP cut short: ", there, " of ", needed, " bytes"
    ):
        return tf.strings.substr(data, tf.zeros((), tf.int64), needed)


def _decode_with_table(data: Any, header: Any) -> Any:
    pixels = tf.io.decode_bmp(data)[..., 0]
    start = _FILE_HEADER_BYTES + _number(header, 14, 4)
    used = _number(header, 46, 4)
    used = tf.where(used == 0, tf.constant(_TABLE_SIZE, tf.int64), used)
    room = tf.maximum(_number(header, 10, 4) - start, 0) // 4
    count = tf.minimum(tf.minimum(used, room), _TABLE_SIZE)
    # Numbers of colours that the table lacks are black.
    table = tf.io.decode_raw(
        tf.strings.substr(data, start, 4 * count),
        tf.uint8,
        fixed_length=4 * _TABLE_SIZE,
    )
    colours = tf.reverse(tf.reshape(table, (-1, 4))[:, :3], [1])  # Stored as BGR0.
    return tf.gather(colours, tf.cast(pixels, tf.int32))


def _number(header: Any, start: int, length: int) -> Any:
    """Returns a little-endian number, int64."""
    digits = tf.cast(header[start : start + length], tf.int64)
    places = tf.constant([1 << (8 * place) for place in range(length)], tf.int64)
    return tf.reduce_sum(digits * places)


def _signed(number: Any) -> Any:
    return tf.where(number < 1 << 31, number, number - (1 << 32))
