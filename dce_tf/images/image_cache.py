"""Decoded images in one memory-mapped file, so that no epoch decodes them again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from dce_tf.base.files import becoming, explained, facts_of_file
from dce_tf.images import preprocessing
from dce_tf.images.partial import Picture, View
from dce_tf.images.scan import examine

VERSION = 2  # Of the format, and of how images are decoded.

_SAMPLED = 64  # Images whose checksums are looked at on opening.
_SPARE_BYTES = 1 << 30  # What is to be left of the disk.


class ImageCache:
    """Images of one list, no larger than evaluation needs them.

    The file is mapped, not read: what is not looked at takes no memory, and what is
    looked at may be dropped again by the system.

    Args:
        folder: What `build` wrote.

    Attributes:
        broken: What is wrong with each broken image, by path.

    Raises:
        ValueError: If the files are damaged.
    """

    def __init__(self, folder: Path) -> None:
        try:
            with np.load(folder / "index.npz", allow_pickle=False) as stored:
                index = {name: stored[name] for name in stored.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{folder}: cannot be read: {error}") from error
        facts = json.loads(str(index["facts"]))
        self.broken: dict[str, str] = facts["broken"]
        self._numbers = {path: i for i, path in enumerate(facts["paths"])}
        self._shapes, self._sums = index["shapes"], index["sums"]
        sizes = 3 * self._shapes.astype(np.int64).prod(axis=1)
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        file = folder / "pixels"
        found = file.stat().st_size if file.is_file() else 0
        if found != self._starts[-1]:
            raise ValueError(
                f"{file}: found {found} bytes; expected {self._starts[-1]}."
            )
        # Private and writable, as DLPack takes no other; nobody writes.
        self._pixels: npt.NDArray[np.uint8] = (
            np.memmap(file, np.uint8, mode="c") if found else np.zeros(1, np.uint8)
        )
        self._check_sums(file)
        with tf.device("CPU:0"):
            self._tensors = (
                tf.experimental.dlpack.from_dlpack(
                    np.asarray(self._pixels).__dlpack__()
                ),
                tf.constant(self._starts[:-1]),
                tf.constant(self._shapes),
            )

    def __len__(self) -> int:
        return len(self._numbers)

    def keys(self, paths: Sequence[str]) -> npt.NDArray[np.int64]:
        """Returns what `picture` knows images by, int64 `(num_images,)`.

        Raises:
            ValueError: If an image is not in the cache.
        """
        missing = next((path for path in paths if path not in self._numbers), None)
        if missing is not None:
            raise ValueError(f"{missing} is not among the {len(self)} cached images.")
        return np.asarray([self._numbers[path] for path in paths], np.int64)

    def picture(self, key: Any) -> Picture:
        """Returns the picture of a key, an int64 scalar tensor."""
        pixels, starts, shapes = self._tensors
        start, shape = starts[key], shapes[key]

        def look(offset: Any, extent: Any, size: Any) -> View:
            del size
            width = tf.cast(shape[1], tf.int64) * 3
            first = start + tf.cast(offset[0], tf.int64) * width
            rows = tf.slice(pixels, [first], [tf.cast(extent[0], tf.int64) * width])
            rows = tf.reshape(rows, (extent[0], shape[1], 3))
            cut = rows[:, offset[1] : offset[1] + extent[1]]
            return View(cut, tf.zeros(2), tf.ones(()))

        return Picture(shape, look)

    def _check_sums(self, file: Path) -> None:
        count = len(self)
        some = np.unique(np.linspace(0, count - 1, min(count, _SAMPLED)).astype(int))
        for number in some:
            part = self._pixels[self._starts[number] : self._starts[number + 1]]
            if zlib.crc32(part.data) != self._sums[number]:
                raise ValueError(f"{file}: image {number} has another checksum.")


def open_cache(
    root: Path,
    paths: Sequence[str],
    image_size: int,
    *,
    max_pixels: int,
    num_workers: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
) -> ImageCache:
    """Opens the cache of a list of images, and fills it first if it is not there.

    Several processes may ask for the same one: one of them fills it, the others wait.
    An image that changed, by its size or time, makes it another cache; so does one more
    that is missing.

    Args:
        root: Holds one folder per list; may be removed at any time.
        paths: The image files.
        image_size: Side of the network's input in pixels.
        max_pixels: Images of more pixels count as broken.
        num_workers: Threads; 0 takes one for each processor.
        on_progress: Told after each image how many are done.
        note: Told what there is to wait for, and why a cache is made again.

    Raises:
        OSError: If there is no room for it; what was written is removed.
    """
    paths = sorted(set(paths))
    folder = root / _name_of(paths, image_size, max_pixels)
    with _locked(folder, note):
        if folder.is_dir():
            try:
                return ImageCache(folder)
            except ValueError as error:
                note(f"{error} The cache of decoded images is made again.")
                shutil.rmtree(folder)
        with becoming(folder) as temporary:
            _fill(temporary, paths, image_size, max_pixels, num_workers, on_progress)
        return ImageCache(folder)


def _name_of(paths: Sequence[str], image_size: int, max_pixels: int) -> str:
    key = hashlib.sha256(f"{VERSION} {image_size} {max_pixels}\n".encode())
    for path in paths:
        key.update(f"{path} {facts_of_file(Path(path))}\n".encode())
    return key.hexdigest()[:20]


@contextlib.contextmanager
def _locked(folder: Path, note: Callable[[str], None]) -> Iterator[None]:
    with explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.with_suffix(".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note("Another process decodes the same images: waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fill(
    folder: Path,
    paths: Sequence[str],
    image_size: int,
    max_pixels: int,
    num_workers: int,
    on_progress: Callable[[int], None],
) -> None:
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def decode(path: Any) -> Any:
        picture = preprocessing.open_picture(tf.io.read_file(path))
        return preprocessing.shrunken(picture, image_size)

    kept, broken = [], {}
    shapes, sums = [], []
    found = examine(
        paths, max_pixels=max_pixels, num_workers=num_workers, decode=decode
    )
    with (folder / "pixels").open("wb") as file:
        for done, (path, (facts, image)) in enumerate(zip(paths, found, strict=True)):
            on_progress(done + 1)
            if facts.problem:
                broken[path] = facts.problem
                continue
            pixels = image.numpy()
            file.write(pixels.data)
            kept.append(path)
            shapes.append(pixels.shape[:2])
            sums.append(zlib.crc32(pixels.data))
            if not len(kept) % _SAMPLED:
                _check_room(folder, done + 1, len(paths), file.tell())
        file.flush()
        os.fsync(file.fileno())
    np.savez(
        folder / "index.npz",
        facts=np.asarray(json.dumps({"paths": kept, "broken": broken})),
        shapes=np.asarray(shapes, np.int32).reshape(-1, 2),
        sums=np.asarray(sums, np.uint32),
    )


def _check_room(folder: Path, done: int, total: int, size: int) -> None:
    """Stops early where what is to come will not fit."""
    needed = size / done * (total - done)
    free = shutil.disk_usage(folder).free
    if needed + _SPARE_BYTES > free:
        raise OSError(
            f"{folder.parent} has {free / 1e9:.1f} GB free; the decoded images need "
            f"{needed / 1e9:.1f} GB more. Make room, name another --cache_dir, or "
            "leave out --cache_images."
        )
