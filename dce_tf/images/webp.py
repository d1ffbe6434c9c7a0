"""Animated WebP files, made safe for TensorFlow's decoder.

Of an animation whose header does not announce alpha, `tf.io.decode_image` allocates
three channels and writes four, beyond the end of its memory. With alpha announced it
allocates four, and the pixels are right: docs/upstream-webp.md has the cause.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_FLAGS = 20  # Behind RIFF, a size, WEBP, VP8X and a size, four bytes each.
# WebP Container Specification, "Extended File Format".
_ANIMATION, _ALPHA = 0x02, 0x10
_WITH_ALPHA = [bytes([flags | _ALPHA]) for flags in range(256)]


def announce_alpha(data: bytes) -> bytes:
    """Returns a file that TensorFlow decodes safely; any but such an animation as is.

    For models exported before the graph itself did so.

    Args:
        data: Any file.
    """
    if len(data) <= _FLAGS or data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8X":
        return data
    flags = data[_FLAGS]
    if flags & (_ANIMATION | _ALPHA) != _ANIMATION:
        return data
    return data[:_FLAGS] + _WITH_ALPHA[flags] + data[_FLAGS + 1 :]


def decode_webp(data: Any) -> Any:
    """Decodes a WebP file, of an animation the first frame.

    Args:
        data: Scalar string tensor that begins with `RIFF` and has `WEBP` at byte 8.

    Returns:
        uint8 tensor `(height, width, 3)`. What lies under transparent pixels shows.

    Raises:
        tf.errors.InvalidArgumentError: If it is damaged.
    """
    head = tf.strings.join([tf.strings.substr(data, 0, _FLAGS + 1), bytes(_FLAGS + 1)])
    flags = tf.cast(tf.io.decode_raw(head, tf.uint8)[_FLAGS], tf.int32)
    is_extended = tf.strings.substr(head, 12, 4) == b"VP8X"
    is_unsafe = is_extended & (flags & (_ANIMATION | _ALPHA) == _ANIMATION)
    safe = tf.cond(is_unsafe, lambda: _announced(data, flags), lambda: data)
    # TensorFlow does not drop alpha from WebP by itself.
    image = tf.io.decode_image(safe, expand_animations=False)
    return tf.ensure_shape(image, (None, None, None))[..., :3]


def _announced(data: Any, flags: Any) -> Any:
    # A file cut short within its header is not unsafe: its flags are zeros here.
    behind = tf.strings.substr(data, _FLAGS + 1, tf.strings.length(data))
    return tf.strings.join(
        [tf.strings.substr(data, 0, _FLAGS), tf.gather(_WITH_ALPHA, flags), behind]
    )
