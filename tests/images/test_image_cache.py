import multiprocessing
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from benchmarks.timing import peak_memory
from dce_tf.clustering import whole_division
from dce_tf.datasets import Images
from dce_tf.images import image_cache, preprocessing
from dce_tf.images.augmentation import paper
from dce_tf.images.image_cache import ImageCache, open_cache
from dce_tf.training.pipelines import (
    ClusterPipelines,
    EpochPlanner,
    EvaluationPipelines,
)
from tests.synced import Synced

SIZE = 28  # The cache keeps shorter sides of 32.


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    made = []
    for number, (height, width) in enumerate(
        [(96, 160), (160, 96), (20, 30), (64, 64)]
    ):
        small = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
        image = Image.fromarray(small.astype(np.uint8)).resize((width, height))
        path = folder / f"{number}.{'png' if number % 2 else 'jpg'}"
        image.save(path)
        made.append(str(path))
    return made


def opened(root: Path, paths: list[str], **options) -> ImageCache:
    return open_cache(root, paths, SIZE, max_pixels=10**6, **options)


def pixels(cache: ImageCache, path: str) -> np.ndarray:
    picture = cache.picture(tf.constant(cache.keys([path])[0]))
    return picture.look(tf.zeros(2, tf.int32), picture.shape, None).pixels.numpy()


def test_images_are_those_of_the_files_scaled_down(
    tmp_path: Path, paths: list[str]
) -> None:
    cache = opened(tmp_path, paths)
    assert len(cache) == 4
    for path in paths:
        picture = preprocessing.open_picture(tf.io.read_file(path))
        np.testing.assert_array_equal(
            pixels(cache, path), preprocessing.shrunken(picture, SIZE)
        )
    assert pixels(cache, paths[0]).shape == (32, 53, 3)
    assert pixels(cache, paths[2]).shape == (20, 30, 3)


def test_pixels_are_on_the_disk_before_they_count(
    tmp_path: Path, paths: list[str], synced: list[Synced]
) -> None:
    opened(tmp_path, paths)
    (made,) = tmp_path.rglob("pixels")
    assert Synced.of(made) in synced


def test_a_window_is_cut_out(tmp_path: Path, paths: list[str]) -> None:
    cache = opened(tmp_path, paths)
    whole = pixels(cache, paths[1])
    picture = cache.picture(tf.constant(cache.keys([paths[1]])[0]))
    view = picture.look(tf.constant([7, 3]), tf.constant([20, 11]), None)
    np.testing.assert_array_equal(view.pixels, whole[7:27, 3:14])


@pytest.mark.slow
def test_evaluation_is_the_same_but_for_rounding(
    tmp_path: Path, paths: list[str]
) -> None:
    cached = EvaluationPipelines(SIZE, 4, reader=opened(tmp_path, paths))
    plain = EvaluationPipelines(SIZE, 4)
    one, other = (next(iter(p.build(paths))).numpy() for p in (cached, plain))
    assert 0 < np.abs(one - other).max() <= 0.51


@pytest.mark.slow
def test_crops_have_the_distribution_of_those_of_files(
    tmp_path: Path, paths: list[str]
) -> None:
    ramp = np.zeros((96, 160, 3), np.uint8)
    ramp[..., 0] = np.linspace(0, 250, 160)
    ramp[..., 1] = np.linspace(0, 250, 96)[:, None]
    path = tmp_path / "ramp.png"
    Image.fromarray(ramp).save(path)
    train = Images(
        (str(path),) * 400, np.arange(400, dtype=np.int32) // 4, ("x",) * 100
    )

    def corners(**options) -> np.ndarray:
        planner = EpochPlanner(train, batch_size=80, samples_per_class=4)
        pipelines = ClusterPipelines(planner, SIZE, paper(), **options)
        batches = pipelines.build(whole_division(train.labels), 0).dataset
        crops = np.concatenate([batch[0].numpy() for batch in batches])
        # The ends of both ramps tell where a crop lies, and whether it is flipped.
        return crops[:, (0, -1)][:, :, (0, -1)][..., :2].reshape(len(crops), -1)

    files, cache = corners(), corners(reader=opened(tmp_path / "c", [str(path)]))
    # The same seeds draw the same windows, to a pixel of the smaller image.
    assert np.abs(files - cache).mean() < 5
    np.testing.assert_allclose(files.mean(0), cache.mean(0), atol=4)
    np.testing.assert_allclose(files.std(0), cache.std(0), atol=4)


def test_second_run_decodes_nothing(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(tmp_path, paths)
    monkeypatch.setattr(image_cache, "examine", None)
    again = opened(tmp_path, paths[::-1])
    np.testing.assert_array_equal(pixels(first, paths[0]), pixels(again, paths[0]))


def test_broken_images_are_told_and_left_out(tmp_path: Path, paths: list[str]) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(paths[0]).read_bytes()[:300])
    gone = str(tmp_path / "gone.jpg")
    for _ in range(2):
        cache = opened(tmp_path / "cache", [*paths, str(broken), gone])
        assert set(cache.broken) == {str(broken), gone}
        assert cache.broken[gone] == "no such file"
        with pytest.raises(ValueError, match=r"broken\.jpg is not among the 4 cached"):
            cache.keys([str(broken)])


def test_one_more_missing_image_is_told_too(tmp_path: Path, paths: list[str]) -> None:
    opened(tmp_path, paths)
    gone = str(tmp_path / "gone.jpg")
    assert set(opened(tmp_path, [*paths, gone]).broken) == {gone}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["image", "size"])
def test_what_changed_is_decoded_anew(
    tmp_path: Path, paths: list[str], what: str
) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (40, 40), "red").save(path)
    opened(tmp_path / "cache", [str(path)])
    if what == "image":
        Image.new("RGB", (40, 40), "blue").save(path)
        image = pixels(opened(tmp_path / "cache", [str(path)]), str(path))
        np.testing.assert_array_equal(image[0, 0], [0, 0, 255])
    else:
        cache = open_cache(tmp_path / "cache", [str(path)], 14, max_pixels=10**6)
        assert pixels(cache, str(path)).shape == (16, 16, 3)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut short", "changed", "no index"])
def test_damaged_cache_is_made_anew(
    tmp_path: Path, paths: list[str], damage: str
) -> None:
    expected = pixels(opened(tmp_path, paths), paths[0])
    (file,) = tmp_path.glob("*/pixels")
    data = bytearray(file.read_bytes())
    if damage == "cut short":
        file.write_bytes(data[:-1])
    elif damage == "changed":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    else:
        file.with_name("index.npz").write_bytes(b"")
    notes: list[str] = []
    cache = opened(tmp_path, paths, note=notes.append)
    assert "made again" in notes[0]
    np.testing.assert_array_equal(pixels(cache, paths[0]), expected)


def test_two_at_once_make_one_cache(tmp_path: Path, paths: list[str]) -> None:
    caches: list[ImageCache] = []
    notes: list[str] = []

    def work() -> None:
        caches.append(opened(tmp_path, paths, note=notes.append))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caches) == 3
    assert len(list(tmp_path.glob("*/pixels"))) == 1
    assert not list(tmp_path.glob(".tmp-*"))


def test_no_room_is_said_before_the_disk_is_full(
    tmp_path: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_cache, "_SAMPLED", 1)
    monkeypatch.setattr(
        image_cache.shutil, "disk_usage", lambda _: type("Free", (), {"free": 10})
    )
    with pytest.raises(OSError, match="leave out --cache_images"):
        opened(tmp_path, paths)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def _memory_of_reading(folder: str, queue: multiprocessing.Queue) -> None:
    height, width = 1 << 13, 1 << 14
    with Path(folder, "pixels").open("wb") as file:
        file.truncate(height * width * 3)
    np.savez(
        Path(folder, "index.npz"),
        facts=np.asarray('{"paths": ["a"], "broken": {}}'),
        shapes=np.asarray([[height, width]], np.int32),
        sums=np.zeros(1, np.uint32),
    )
    ImageCache._check_sums = lambda *_: None
    cache = ImageCache(Path(folder))
    before = peak_memory()
    picture = cache.picture(tf.constant(0, tf.int64))
    view = picture.look(tf.constant([4000, 4000]), tf.constant([8, 8]), None)
    queue.put((view.pixels.shape, peak_memory() - before))


@pytest.mark.slow
def test_a_large_cache_is_mapped_not_read(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_memory_of_reading, args=(str(tmp_path), queue))
    process.start()
    shape, megabytes = queue.get(timeout=180)
    process.join()
    assert shape == (8, 8, 3)
    assert megabytes < 200
