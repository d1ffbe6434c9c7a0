import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from dce_tf.images import preprocessing, scan
from tests.images.gif_files import spliced
from tests.images.test_file_kinds import HEIC, SVG

LIMIT = 10_000


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jpg"
    Image.effect_noise((80, 60), 50).convert("RGB").save(path)
    return path


def facts_of(path: Path) -> scan.ImageFacts:
    (facts,) = scan.survey([str(path)], max_pixels=LIMIT)
    return facts


def problem(path: Path) -> str:
    return facts_of(path).problem


@pytest.mark.parametrize(
    "name", ["two words.jpg", "größe Ωμέγα 犬.jpg", "per%cent#?.jpg", "no ending"]
)
def test_any_name_will_do(good: Path, name: str) -> None:
    shutil.copy(good, good.with_name(name))
    assert problem(good.with_name(name)) == ""


def test_facts_of_an_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 8
    path = tmp_path / "turned.jpg"
    Image.new("L", (40, 20)).save(path, exif=exif)
    assert facts_of(path) == scan.ImageFacts("", (40, 20), "L", turned=True)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "bmp", "webp"])
def test_files_cut_short_are_broken(good: Path, ending: str) -> None:
    path = good.with_suffix(f".{ending}")
    Image.open(good).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert problem(path)


@pytest.mark.parametrize("content", [b"", b"This is a text.\n" * 20])
def test_what_is_no_image_is_called_so(good: Path, content: bytes) -> None:
    good.write_bytes(content)
    assert problem(good) == "not an image; expected JPEG, PNG, GIF, BMP or WebP"


@pytest.mark.parametrize("ending", ["avif", "eps", "ppm", "tiff"])
def test_other_formats_are_to_be_converted(good: Path, ending: str) -> None:
    path = good.with_suffix(f".{ending}")
    Image.open(good).save(path)
    sentence = f"{ending.upper()} is not read; convert it to JPEG or PNG"
    assert problem(path) == scan.header_problem(str(path), LIMIT) == sentence


@pytest.mark.parametrize(("content", "kind"), [(HEIC, "HEIC"), (SVG, "SVG")])
def test_kinds_that_pil_does_not_know_are_to_be_converted(
    good: Path, content: bytes, kind: str
) -> None:
    good.write_bytes(content)
    assert problem(good) == f"{kind} is not read; convert it to JPEG or PNG"


def test_what_the_graph_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "bilevel.bmp"
    Image.new("1", (9, 9)).save(path)
    assert problem(path) == (
        "a BMP (bits per pixel: 1, compression: 0) is not read; convert it to PNG"
    )


def test_what_is_not_there_is_broken(tmp_path: Path) -> None:
    dangling = tmp_path / "dangling.jpg"
    dangling.symlink_to(tmp_path / "nowhere.jpg")
    assert problem(tmp_path / "missing.jpg") == "no such file"
    assert problem(dangling) == "no such file"


def test_folders_and_pipes_are_no_files(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert problem(tmp_path) == problem(pipe) == "not a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_are_broken(good: Path) -> None:
    good.chmod(0)
    assert problem(good) == "Permission denied"


def test_images_above_the_limit_are_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_000, 10_000)).save(bomb)
    monkeypatch.setattr(preprocessing, "decode", pytest.fail)
    (found,) = scan.survey([str(bomb)], max_pixels=100_000_000)
    assert "20000 × 10000 pixels are more than --max_image_pixels" in found.problem


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([(1, 1), (101, 100)], "101 × 100 pixels in 2 frames are more than"),
        ([(100, 50)] * 6, "100 × 50 pixels in 6 frames are more than"),
        ([(100, 50)] * 5, ""),
    ],
)
def test_all_frames_of_a_gif_count(
    tmp_path: Path, frames: list[tuple[int, int]], says: str
) -> None:
    path = tmp_path / "animated.gif"
    path.write_bytes(spliced(*frames))
    assert problem(path).startswith(says)
    assert bool(problem(path)) == bool(says)
    found = scan.header_problem(path.read_bytes(), LIMIT)
    assert found == scan.header_problem(str(path), LIMIT) == problem(path)


def test_as_many_pixels_as_allowed_are_fine(tmp_path: Path) -> None:
    for width, fits in ((100, True), (101, False)):
        path = tmp_path / f"{width}.png"
        Image.new("L", (width, 100)).save(path)
        assert (problem(path) == "") == fits


def test_broken_images_are_found_in_order_with_the_reason(good: Path) -> None:
    empty = good.with_name("empty.jpg")
    empty.write_bytes(b"")
    paths = [str(good), str(empty), str(good), str(good.with_name("missing.jpg"))]
    seen: list[int] = []
    found = scan.find_broken(
        paths, max_pixels=LIMIT, num_workers=2, on_progress=seen.append
    )
    assert list(found) == [paths[1], paths[3]]
    assert found[paths[3]] == "no such file"
    assert seen[-1] == 4


def test_images_that_are_decoded_together_are_told_apart(good: Path) -> None:
    torn = good.with_name("torn.jpg")
    torn.write_bytes(good.read_bytes()[:-200])
    paths = [str(good)] * 50
    for place in (0, 15, 16, 37, 49):
        paths[place] = str(torn)
    facts = scan.survey(paths, max_pixels=LIMIT, num_workers=3)
    one_by_one = [fact for fact, _ in scan.examine(paths, max_pixels=LIMIT)]
    assert facts == one_by_one
    assert [bool(fact.problem) for fact in facts] == [p == str(torn) for p in paths]


def test_limit_of_pil_is_left_as_it_was(good: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    scan.survey([str(good)], max_pixels=LIMIT)
    assert Image.MAX_IMAGE_PIXELS == before is not None
