"""The EXIF orientation of a JPEG, read in the graph.

`tf.io.decode_image` passes it over, so that a phone's upright photograph lies on its
side. With core ops it is read alike in training, evaluation and the exported model.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_ORIENTATION = 0x0112  # Tag of TIFF 6.0 and EXIF 2.32.
_SEARCHED_BYTES = 1 << 12  # EXIF 2.32, 4.7.2: its segment is the first of a JPEG.
_BEFORE_TIFF = r"^\C*?Exif\x00\x00"  # RE2: `\C` is any byte.
_ENTRY_BYTES = 12
_MOST_ENTRIES = 64


def turn_upright(image: Any, orientation: Any) -> Any:
    """Turns and flips an image as its EXIF orientation says.

    Args:
        image: As it is stored, `(height, width, channels)`.
        orientation: int32 scalar, 1 to 8.

    Returns:
        The image, its sides swapped if it lay on one.
    """
    return tf.cond(
        orientation == 1, lambda: image, lambda: _turn_upright(image, orientation)
    )


def _turn_upright(image: Any, orientation: Any) -> Any:
    image = tf.cond(
        is_swapped(orientation),
        lambda: tf.transpose(image, (1, 0, 2)),
        lambda: image,
    )
    rows, columns = tf.unstack(flipped_axes(orientation))
    image = tf.cond(rows, lambda: tf.reverse(image, [0]), lambda: image)
    return tf.cond(columns, lambda: tf.reverse(image, [1]), lambda: image)


def is_swapped(orientation: Any) -> Any:
    """Returns whether rows become columns, a scalar boolean tensor."""
    return orientation >= 5


def flipped_axes(orientation: Any) -> Any:
    """Returns which axes are flipped after that: top to bottom, left to right."""
    rows = tf.reduce_any(orientation == (3, 4, 7, 8))
    columns = tf.reduce_any(orientation == (2, 3, 6, 7))
    return tf.stack([rows, columns])


def read_orientation(data: Any) -> Any:
    """Returns the EXIF orientation of a file, 1 to 8.

    Args:
        data: Scalar string: any image file.

    Returns:
        int32 scalar; 1, upright, for what is no JPEG or has none.
    """
    head = tf.strings.substr(data, 0, _SEARCHED_BYTES)
    is_jpeg = tf.strings.substr(head, 0, 2) == b"\xff\xd8"
    tiff = tf.strings.regex_replace(head, _BEFORE_TIFF, "", replace_global=False)
    is_there = tf.strings.length(tiff) < tf.strings.length(head)
    return tf.cond(is_jpeg & is_there, lambda: _from_tiff(tiff), lambda: tf.constant(1))


def _from_tiff(data: Any) -> Any:
    tiff = tf.cast(tf.io.decode_raw(data, tf.uint8), tf.int32)
    # Zeros behind the end: what a damaged block points at is then no tag.
    tiff = tf.pad(tiff, [[0, _MOST_ENTRIES * _ENTRY_BYTES + 16]])
    little = tiff[0] == ord("I")
    places = tf.where(little, [1, 256], [256, 1])

    def numbers(pairs: Any) -> Any:
        return tf.reduce_sum(pairs * places, -1)

    directory = numbers(tf.where(little, tiff[4:6], tiff[6:8]))
    last = tf.size(tiff) - _MOST_ENTRIES * _ENTRY_BYTES - 2
    directory = tf.clip_by_value(directory, 0, tf.maximum(last, 0))
    count = numbers(tiff[directory : directory + 2])
    entries = tiff[directory + 2 :][: _MOST_ENTRIES * _ENTRY_BYTES]
    entries = tf.reshape(entries, (_MOST_ENTRIES, _ENTRY_BYTES))
    tags, values = numbers(entries[:, :2]), numbers(entries[:, 8:10])
    there = (tags == _ORIENTATION) & (tf.range(_MOST_ENTRIES) < count)
    there &= (values >= 1) & (values <= 8)
    return tf.maximum(tf.reduce_max(tf.where(there, values, 0)), 1)
