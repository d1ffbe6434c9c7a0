"""Encoded images to pixels as they are stored, kind by kind."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.images.bmp import decode_bmp
from dce_tf.images.file_kinds import READ
from dce_tf.images.refusals import required
from dce_tf.images.webp import decode_webp

DCT_METHOD = "INTEGER_ACCURATE"
"""How JPEGs are decoded: as PIL and torchvision do. The default is faster, and 0.8 grey
levels darker on average."""

_HEAD_BYTES = 12
_GIF_SCREEN = slice(3, 5)  # Where a GIF has width and height, in words of two bytes.


def decode_stored(data: Any) -> Any:
    """Decodes an image to RGB as it is stored; see `images.decode`.

    Args:
        data: Scalar string tensor.

    Returns:
        uint8 tensor of shape `(height, width, 3)`.

    Raises:
        tf.errors.InvalidArgumentError: If it is of another kind, or damaged.
    """
    head = tf.io.decode_raw(
        tf.strings.substr(data, 0, _HEAD_BYTES), tf.uint8, fixed_length=_HEAD_BYTES
    )
    decoders = {
        b"\xff\xd8\xff": _decode_jpeg,
        b"\x89PNG\r\n\x1a\n": lambda data: tf.io.decode_png(data, channels=3),
        b"GIF8": _decode_gif,
        b"BM": decode_bmp,
        b"RIFF": decode_webp,
    }
    kinds = [tf.reduce_all(head[: len(magic)] == [*magic]) for magic in decoders]
    kinds[-1] &= tf.reduce_all(head[8:12] == [*b"WEBP"])
    kind = tf.argmax(tf.cast([*kinds, True], tf.int32), output_type=tf.int32)
    with required(tf.strings.length(data) > 0, "the file is empty"):
        kind = tf.identity(kind)
    with required(
        kind < len(decoders),
        f"not an image; expected {READ}: convert it to one of them",
    ):
        kind = tf.minimum(kind, len(decoders) - 1)
    image = tf.switch_case(
        kind, [lambda decode=decode: decode(data) for decode in decoders.values()]
    )
    return tf.ensure_shape(image, (None, None, 3))


def _decode_jpeg(data: Any) -> Any:
    return tf.io.decode_jpeg(data, channels=3, dct_method=DCT_METHOD)


def _decode_gif(data: Any) -> Any:
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    # The decoder takes the largest frame for the screen, and cuts the first one there.
    header = tf.io.decode_raw(
        tf.strings.substr(data, 0, _GIF_SCREEN.stop * 2),
        tf.uint16,
        little_endian=True,
        fixed_length=_GIF_SCREEN.stop * 2,
    )
    width, height = tf.unstack(tf.cast(header[_GIF_SCREEN], tf.int32))
    with required(
        tf.reduce_all(tf.shape(image)[:2] == tf.stack([height, width])),
        *("a GIF whose frames do not fill its screen of ", width, " by ", height),
        " pixels is not read; convert it to PNG",
    ):
        return tf.identity(image)
