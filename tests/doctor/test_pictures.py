from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dce_tf.base.errors import UsageError
from dce_tf.doctor.pictures import Pictures, look_at


def textured(seed: int = 0, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Returns a picture with shapes of all sizes."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", size)
    for side in (4, 8, 16, 64):
        grain = rng.integers(0, 255, (side, side, 3), np.uint8)
        layer = Image.fromarray(grain).resize(size, Image.Resampling.BICUBIC)
        picture = Image.blend(picture, layer, 0.5)
    return picture


def look(folder: Path, **pictures: Image.Image) -> Pictures:
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    return look_at([str(folder / f"{name}.png") for name in pictures], max_pixels=10**6)


def differing(pictures: Pictures, other: int) -> int:
    return int(np.bitwise_count(pictures.hashes[0] ^ pictures.hashes[other]))


def test_hashes_survive_scaling_and_encoding_and_tell_pictures_apart(
    tmp_path: Path,
) -> None:
    one, other = textured(), textured(1)
    paths = [str(tmp_path / name) for name in ("1.png", "2.jpg", "3.jpg", "4.png")]
    one.save(paths[0])
    one.save(paths[1], quality=40)
    one.resize((90, 68)).save(paths[2])
    other.save(paths[3])
    pictures = look_at(paths, max_pixels=10**6)
    assert differing(pictures, 1) <= 8
    assert differing(pictures, 2) <= 8
    assert differing(pictures, 3) > 16
    assert pictures.sides.tolist() == [[160, 120], [160, 120], [90, 68], [160, 120]]


def test_contents_are_equal_byte_for_byte_only(tmp_path: Path) -> None:
    one = textured()
    pictures = look(tmp_path, a=one, b=one, c=textured(1))
    assert (pictures.contents[0] == pictures.contents[1]).all()
    assert (pictures.contents[0] != pictures.contents[2]).any()


def test_light_sharpness_and_emptiness(tmp_path: Path) -> None:
    one = textured()
    pictures = look(
        tmp_path,
        one=one,
        blurred=one.filter(ImageFilter.GaussianBlur(6)),
        dark=one.point(lambda level: level // 8),
        empty=Image.new("RGB", (50, 50), (240, 240, 240)),
        line=Image.new("L", (50, 1), 0),
    )
    sharp, light, empty = pictures.sharpness, pictures.light, pictures.emptiness
    assert sharp[1] < sharp[0] / 3
    assert light[2] < 0.15 < light[0]
    assert empty[3] == 1
    assert empty[0] < 0.5
    assert sharp[4] == 0


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (2000, 2000)).save(tmp_path / "large.png")
    names = ("text.jpg", "gone.jpg", "large.png")
    done = []
    paths = [str(tmp_path / name) for name in names]
    pictures = look_at(paths, max_pixels=10**6, on_progress=done.append)
    assert sorted(pictures.problems) == [0, 1, 2]
    assert pictures.problems[1] == "no such file"
    assert "more than 1000000" in pictures.problems[2]
    assert not pictures.readable.any()
    assert done == [1, 2, 3]


def test_photographs_that_were_turned_have_their_sides_as_seen(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    textured().save(path, exif=exif)
    assert look_at([str(path)], max_pixels=10**6).sides.tolist() == [[120, 160]]


def test_without_the_library_the_remedy_is_told(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagehash", None)
    with pytest.raises(UsageError, match=r"ImageHash.*\[doctor\].*--nopictures"):
        look_at([], max_pixels=1)
