"""BMP files whose pixels are numbers of colours in a table, read in the graph.

`tf.io.decode_image` passes the table over and returns the numbers as if they were
brightness, without an error.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_HEADER_BYTES = 54  # BITMAPFILEHEADER and BITMAPINFOHEADER.
_TABLE_START = 14  # Behind the first header, plus what the second says it takes.
# 8 bits a pixel: TensorFlow refuses 1 and 4. In RE2, `\C` is any byte.
_WITH_TABLE = r"BM\C{26}\x08\x00\C*"


def has_colour_table(data: Any) -> Any:
    """Returns whether a file is a BMP of 8 bits a pixel, a scalar boolean tensor.

    Args:
        data: The file, scalar string tensor; its first 30 bytes are enough.
    """
    return tf.strings.regex_full_match(data, _WITH_TABLE)


def decode_with_table(data: Any) -> Any:
    """Decodes such a file to RGB.

    Args:
        data: The file, scalar string tensor.

    Returns:
        uint8 tensor `(height, width, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: If it is compressed or damaged.
    """
    header = tf.io.decode_raw(tf.strings.substr(data, 0, _HEADER_BYTES), tf.uint8)
    with tf.control_dependencies(
        [tf.debugging.Assert(_number(header, 30, 4) == 0, ["compressed BMP"])]
    ):
        pixels = tf.io.decode_bmp(data)[..., 0]
    start = _TABLE_START + _number(header, 14, 4)
    end = _number(header, 10, 4)
    table = tf.io.decode_raw(tf.strings.substr(data, start, end - start), tf.uint8)
    colours = tf.reverse(tf.reshape(table, (-1, 4))[:, :3], [1])  # Stored as BGR0.
    return tf.gather(colours, tf.cast(pixels, tf.int32))


def _number(header: Any, start: int, length: int) -> Any:
    """Returns a little-endian number."""
    digits = tf.cast(header[start : start + length], tf.int32)
    return tf.reduce_sum(digits * [1 << (8 * place) for place in range(length)])
