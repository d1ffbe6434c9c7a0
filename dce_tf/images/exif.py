"""The EXIF orientation of a JPEG, PNG or WebP, read in the graph.

`tf.io.decode_image` passes it over, so that a phone's upright photograph lies on its
side. With core ops it is read alike in training, evaluation and the exported model;
`orientation` reads it alike without TensorFlow, and says where it stands.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from dce_tf.images import orientation as stored

_ENTRY_BYTES = 12

# Where the next chunk begins, and from where to where EXIF stands, if it does.
_Step = tuple[Any, Any, Any]


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
        int32 scalar; 1, upright, for a file that has none.
    """
    head = _bytes_at(data, 0, stored.WEBP_FLAGS + 1)
    kinds = [
        tf.reduce_all(head[:3] == [*stored.JPEG]),
        tf.reduce_all(head[:8] == [*stored.PNG]),
        tf.reduce_all(head[:4] == [*b"RIFF"])
        & tf.reduce_all(head[8:16] == [*stored.WEBP])
        & (head[stored.WEBP_FLAGS] & stored.WEBP_HAS_EXIF != 0),
    ]
    kind = tf.argmax(tf.cast([*kinds, True], tf.int32), output_type=tf.int32)
    mark = tf.gather(
        [stored.BEFORE_TIFF, *stored.CHUNK_NAMES, stored.BEFORE_TIFF], kind
    )
    # A loop takes as long as decoding a small image, this a hundredth of decoding any.
    parts = tf.raw_ops.StringSplitV2(input=[data], sep=mark, maxsplit=1).values
    return tf.cond(
        (tf.size(parts) > 1) & (kind < len(kinds)),
        lambda: _walk(data, kind),
        lambda: tf.constant(1),
    )


def _bytes_at(data: Any, place: Any, count: int) -> Any:
    """Returns bytes as int64 `(count,)`, zeros behind the end of the file."""
    found = tf.strings.substr(data, place, count)
    return tf.cast(tf.io.decode_raw(found, tf.uint8, fixed_length=count), tf.int64)


def _where(condition: Any, there: Any, elsewhere: Any) -> Any:
    return tf.where(condition, *(tf.cast(x, tf.int64) for x in (there, elsewhere)))


def _number(digits: Any, *, big: bool) -> Any:
    """Returns the number that bytes are, int64."""
    count = digits.shape[-1]
    powers = range(count - 1, -1, -1) if big else range(count)
    places = tf.constant([1 << (8 * power) for power in powers], tf.int64)
    return tf.reduce_sum(digits * places, -1)


def _walk(data: Any, kind: Any) -> Any:
    """Goes from chunk to chunk until one is EXIF, and reads the orientation there."""
    end = tf.cast(tf.strings.length(data), tf.int64)
    nowhere = tf.constant(-1, tf.int64)

    def go_on(place: Any, first: Any, last: Any) -> Any:
        del last
        return (first < 0) & (place >= 0) & (place + stored.LEAST_CHUNK <= end)

    def body(place: Any, first: Any, last: Any) -> _Step:
        del first, last
        head = _bytes_at(data, place, stored.HEAD_BYTES)
        steps = [step(place, head) for step in (_jpeg_step, _png_step, _webp_step)]
        following, first, last = tf.unstack(tf.gather(steps, kind))
        return following, first, last

    start = tf.gather(tf.constant(stored.STARTS, tf.int64), kind)
    _, first, last = tf.while_loop(
        go_on,
        body,
        (start, nowhere, nowhere),
        maximum_iterations=stored.MOST_CHUNKS,
    )
    is_there = (first >= 0) & (first < end)
    first, last = _where(is_there, first, 0), _where(is_there, last, 0)
    return _from_tiff(tf.strings.substr(data, first, last - first))


def _jpeg_step(place: Any, head: Any) -> _Step:
    marker = head[1]
    size = _number(head[2:4], big=True)
    is_fill = marker == stored.FILL
    is_bare = tf.reduce_any(marker == stored.BARE)
    is_last = tf.reduce_any(marker == stored.LAST)
    is_sound = (head[0] == stored.FILL) & (is_fill | is_bare | (size >= 2)) & ~is_last
    ahead = _where(is_fill, 1, _where(is_bare, 2, 2 + size))
    is_exif = is_sound & (marker == stored.APP1) & (size >= 8)
    is_exif &= tf.reduce_all(head[4:] == [*stored.BEFORE_TIFF])
    following = _where(is_sound, place + ahead, -1)
    return following, _where(is_exif, place + 10, -1), place + 2 + size


def _png_step(place: Any, head: Any) -> _Step:
    size = _number(head[:4], big=True)
    is_last = tf.reduce_all(head[4:8] == [*b"IEND"])
    is_exif = tf.reduce_all(head[4:8] == [*b"eXIf"])
    following = _where(is_last, -1, place + 12 + size)
    return following, _where(is_exif, place + 8, -1), place + 8 + size


def _webp_step(place: Any, head: Any) -> _Step:
    size = _number(head[4:8], big=False)
    is_exif = tf.reduce_all(head[:4] == [*b"EXIF"])
    following = place + 8 + size + size % 2
    return following, _where(is_exif, place + 8, -1), place + 8 + size


def _from_tiff(block: Any) -> Any:
    prefix = tf.strings.substr(block, 0, len(stored.BEFORE_TIFF))
    skipped = tf.where(prefix == stored.BEFORE_TIFF, len(stored.BEFORE_TIFF), 0)
    tiff = tf.strings.substr(block, skipped, tf.strings.length(block))
    head = _bytes_at(tiff, 0, 8)
    is_little = tf.reduce_all(head[:4] == [*stored.LITTLE])
    is_big = tf.reduce_all(head[:4] == [*stored.BIG])

    def numbers(digits: Any) -> Any:
        little, big = _number(digits, big=False), _number(digits, big=True)
        return tf.where(is_little, little, big)

    first = numbers(head[4:8])
    length = tf.cast(tf.strings.length(tiff), tf.int64)
    is_there = (is_little | is_big) & (first >= 8) & (first < length)
    size = stored.MOST_ENTRIES * _ENTRY_BYTES
    directory = _bytes_at(tiff, _where(is_there, first, 0), 2 + size)
    count = numbers(directory[:2])
    entries = tf.reshape(directory[2:], (stored.MOST_ENTRIES, _ENTRY_BYTES))
    numbered = tf.range(stored.MOST_ENTRIES, dtype=tf.int64)
    found = (numbers(entries[:, :2]) == stored.TAG) & (numbered < count)
    entry = entries[tf.argmax(tf.cast(found, tf.int32))]
    kind = numbers(entry[2:4])
    in_long = _where(kind == stored.LONG, numbers(entry[8:12]), 0)
    value = _where(kind == stored.SHORT, numbers(entry[8:10]), in_long)
    is_sound = is_there & tf.reduce_any(found) & (value >= 1) & (value <= 8)
    return tf.cast(_where(is_sound, value, 1), tf.int32)
