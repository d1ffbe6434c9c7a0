import io

import pytest
import tensorflow as tf
from PIL import Image

from dce_tf.images.gif import Extent, gif_extent
from tests.images.gif_files import COMMENT, END, frame, header, spliced

SMALL = header(1, 1) + frame(1, 1)


def decoded(data: bytes) -> tuple[int, int]:
    """Returns width and height as TensorFlow decodes a GIF."""
    shape = tf.io.decode_image(data, expand_animations=False).shape
    return shape[1], shape[0]


def reached(data: bytes) -> tuple[int, int]:
    extent = gif_extent(data)
    return extent.width, extent.height


def test_an_ordinary_gif_is_as_large_as_its_frame() -> None:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 50).save(buffer, "GIF")
    assert gif_extent(buffer.getvalue()) == Extent.of_still(40, 30)


def test_the_frames_of_an_animation_cost_a_byte_a_pixel() -> None:
    buffer = io.BytesIO()
    first, *others = (Image.effect_noise((40, 30), 50) for _ in range(5))
    first.save(buffer, "GIF", save_all=True, append_images=others, loop=0)
    extent = gif_extent(buffer.getvalue())
    # Three bytes for each of 1200 pixels that are returned, five for the frames.
    assert extent == Extent(40, 30, 5, 1200 * 8 // 4)
    assert str(extent) == "40 × 30 pixels in 5 frames"


@pytest.mark.parametrize(
    "data",
    [
        spliced((1, 1), (70, 50)),
        spliced((1, 1), (70, 2), (3, 50)),
        SMALL + COMMENT + b"\x05,;!\0,\0" + frame(70, 50) + END,
        # The decoder passes over what follows an extension without content.
        SMALL + COMMENT + b"\0\0" + frame(70, 50) + END,
        SMALL + COMMENT + b"\0\x02,;\0" + frame(70, 50) + END,
    ],
)
def test_later_frames_count_as_they_are_decoded(data: bytes) -> None:
    assert reached(data) == decoded(data) == (70, 50)


@pytest.mark.parametrize("between", [END, b"\0", COMMENT + b"\0"])
def test_what_the_decoder_does_not_reach_does_not_count(between: bytes) -> None:
    data = SMALL + between + frame(70, 50) + END
    assert reached(data) == decoded(data) == (1, 1)


def test_a_gif_cut_short_is_as_large_as_what_is_left() -> None:
    data = spliced((5, 4), (7, 9))
    for length in range(len(data)):
        extent = gif_extent(data[:length])
        assert extent.frames <= 2
        assert reached(data[:length]) in [(0, 0), (5, 4), (7, 9)]


def test_blocks_without_end_are_not_walked() -> None:
    with pytest.raises(ValueError, match="more than 262,144 blocks"):
        gif_extent(SMALL + COMMENT + b"\1\1" * 2**18)
