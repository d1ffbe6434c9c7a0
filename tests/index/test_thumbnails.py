import io
from pathlib import Path

import numpy as np
from PIL import Image

from dce_tf.index import make_thumbnail
from tests import fakes
from tests.index.conftest import Place, record


def test_thumbnail_is_read_from_the_image_folder(local: Place, tmp_path: Path) -> None:
    images = tmp_path / "images"
    fakes.write_image(images / "a" / "one.jpg", 1, np.random.default_rng(0), 600)
    (images / "broken.jpg").write_bytes(b"no image")
    local.make(
        [
            record("one", 1, path="a/one.jpg"),
            record("broken", 2, path="broken.jpg"),
            record("missing", 3, path="missing.jpg"),
        ],
        image_root=str(images),
    )
    opened = local.open()
    small = tmp_path / "small.jpg"
    small.write_bytes(opened.thumbnail("one"))
    with Image.open(small) as image:
        assert (image.format, image.size) == ("JPEG", (256, 256))
    assert opened.thumbnail("broken") is opened.thumbnail("missing") is None
    opened.close()


def test_thumbnail_is_upright_and_keeps_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (800, 400), (255, 0, 0, 9)).convert("RGB").save(path, exif=exif)
    small = tmp_path / "small.jpg"
    small.write_bytes(make_thumbnail(path.read_bytes()))
    with Image.open(small) as image:
        assert image.size == (128, 256)
    grey = tmp_path / "grey.png"
    Image.new("LA", (10, 20)).save(grey)
    small.write_bytes(make_thumbnail(grey))
    with Image.open(small) as image:
        assert (image.mode, image.size) == ("RGB", (10, 20))


def test_thumbnail_of_a_photograph_with_an_odd_tag(tmp_path: Path) -> None:
    small = make_thumbnail(fakes.odd_photograph((800, 400), (0, 0, 0)))
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (128, 256)


def test_huge_picture_is_not_decoded(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dce_tf.index.pictures.MOST_PIXELS", 99)
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    assert make_thumbnail(tmp_path / "a.png") is None
