import io
import os
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dce_tf.index import make_thumbnail
from dce_tf.index.pictures import thumbnail_below
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


FORMATS_NOT_READ = ["TIFF", "ICO", "PPM", "TGA", "PCX", "EPS", "PDF", "ICNS", "SGI"]


@pytest.mark.parametrize("kind", FORMATS_NOT_READ)
def test_no_other_formats_are_opened(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("Nothing is to be started.")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(subprocess, "check_call", start)
    path = tmp_path / "a.png"
    Image.new("RGB", (16, 16)).save(path, kind)
    assert make_thumbnail(path) is None
    assert make_thumbnail(path.read_bytes()) is None


@pytest.mark.parametrize("home", ["local", "milvus", "postgres"])
def test_no_image_outside_the_folder_is_shown(
    home: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = request.getfixturevalue(home)
    images, secret = tmp_path / "images", tmp_path / "secret.png"
    images.mkdir()
    for path in (secret, images / "in.png"):
        Image.new("RGB", (8, 8)).save(path)
    (images / "out.png").symlink_to(secret)
    (images / "folder").symlink_to(tmp_path)
    (images / "again.png").symlink_to("in.png")
    (images / "round").symlink_to("round")
    os.mkfifo(images / "pipe.png")
    inside = ["in.png", "again.png", "./in.png"]
    outside = ["out.png", "folder/secret.png", "pipe.png", "round", "", ".", "none"]
    place.make(
        [record(path, n, path=path) for n, path in enumerate(inside + outside) if path],
        image_root=str(images),
    )
    opened = place.open()
    for path in inside:
        assert opened.thumbnail(path) is not None, path
    for path in filter(None, outside):
        assert opened.thumbnail(path) is None, path
    opened.close()
    link = tmp_path / "link"
    link.symlink_to(images)
    assert thumbnail_below(link, "in.png") is not None


def test_no_image_is_shown_by_a_path_that_was_edited(
    local: Place, tmp_path: Path
) -> None:
    images, secret = tmp_path / "images", tmp_path / "secret.png"
    images.mkdir()
    for path in (secret, images / "in.png"):
        Image.new("RGB", (8, 8)).save(path)
    local.make([record("a", 1, path="in.png")], image_root=str(images))
    for path in (str(secret), "../secret.png", "x/../../secret.png", "a\0b"):
        connection = sqlite3.connect(Path(local.where, "records.sqlite"))
        with connection:
            connection.execute("UPDATE records SET path = ?", (path,))
        connection.close()
        opened = local.open()
        assert opened.thumbnail("a") is None
        opened.close()
