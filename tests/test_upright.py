import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from dce_tf.upright import upright
from tests import fakes

PICTURE = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


@pytest.mark.parametrize("orientation", [None, *range(10)])
def test_images_are_turned_as_pil_turns_them(orientation: int | None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "PNG", exif=exif)
    with Image.open(buffer) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(np.asarray(upright(image)), expected)


def test_an_odd_tag_beside_the_orientation_does_not_matter() -> None:
    with Image.open(io.BytesIO(fakes.odd_photograph((80, 40), (9, 9, 9)))) as image:
        assert upright(image).size == (40, 80)
