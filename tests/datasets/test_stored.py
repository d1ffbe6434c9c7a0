"""Images that are no files: arrays, generators and tf.data, written once."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dce_tf.datasets import DATASETS, Splits
from dce_tf.datasets.stored import store_images

RNG = np.random.default_rng(0)
# Neither sorted nor alike: what one class or smooth pictures would hide.
PIXELS = RNG.integers(0, 256, (12, 9, 7, 3), np.uint8)
LABELS = np.asarray([3, 10, 3, 2, 10, 2, 3, 2, 10, 3, 2, 10])
TEST_PIXELS = RNG.integers(0, 256, (4, 9, 7, 3), np.uint8)
TEST_LABELS = np.asarray([7, 8, 7, 8])


def read(folder: str) -> Splits:
    return DATASETS.build("csv", data_dir=folder)


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "train",
    [
        (PIXELS, LABELS),
        (PIXELS, LABELS[:, None]),
        (list(PIXELS), LABELS.tolist()),
        tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)),
        tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).batch(5),
        list(zip(map(Image.fromarray, PIXELS), LABELS, strict=True)),
        [(image, f" {label}") for image, label in zip(PIXELS, LABELS, strict=True)],
    ],
    ids=["arrays", "column", "lists", "tf.data", "batches", "pillow", "names"],
)
def test_pixels_and_classes_are_kept_exactly(tmp_path: Path, train: object) -> None:
    folder = store_images(tmp_path / "d", train=train, test=(TEST_PIXELS, TEST_LABELS))
    splits = read(folder)
    names = [splits.train.class_names[label] for label in splits.train.labels]
    assert names == [str(label) for label in LABELS]
    for path, expected in zip(splits.train.paths, PIXELS, strict=True):
        np.testing.assert_array_equal(pixels(path), expected)
    assert splits.leave_one_out


def test_encoded_files_stay_as_they_are(tmp_path: Path) -> None:
    files = [jpeg(image) for image in PIXELS]
    train = list(zip(files, LABELS, "ababababcccc", strict=True))
    folder = store_images(tmp_path / "d", train=train, test=(TEST_PIXELS, TEST_LABELS))
    splits = read(folder)
    assert [Path(path).read_bytes() for path in splits.train.paths] == files
    assert splits.train.paths[0].endswith(".jpg")
    assert len(set(splits.train.groups.tolist())) == 3


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 4)])
def test_grey_and_alpha_are_kept(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = RNG.integers(0, 256, (12, *shape), np.uint8)
    store_images(tmp_path / "d", train=(images, LABELS), test=(images[:4], TEST_LABELS))
    path = read(str(tmp_path / "d")).train.paths[5]
    np.testing.assert_array_equal(pixels(path), images[5].squeeze())


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS / 255, LABELS, r"float64.*\(255 \* images\)\.round\(\)"),
        (PIXELS.astype(np.uint16), LABELS, r"uint16.*images >> 8"),
        (PIXELS.astype(np.int64), LABELS, r"int64.*astype\('uint8'\)"),
        (PIXELS.transpose(0, 3, 1, 2), LABELS, r"\(3, 9, 7\).*transpose\(1, 2, 0\)"),
        (PIXELS[..., :2], LABELS, "1, 3 or 4 channels"),
        (PIXELS, LABELS[:-1], "12 images and 11 labels"),
        (PIXELS, LABELS - 5, r"label -2; expected 0 or more.*without a label"),
        (PIXELS, LABELS + 0.5, r"label 3\.5 \(float\).*astype\(int\)"),
        (PIXELS, np.eye(12)[LABELS], r"one-hot labels with \.argmax"),
        (PIXELS, [""] * 12, "label ''"),
        (PIXELS[:0], LABELS[:0], "'train' has no images"),
    ],
)
def test_what_is_no_picture_or_label_is_refused(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        store_images(tmp_path / "d", train=(images, labels))
    assert list(tmp_path.iterdir()) == []  # Nothing is left of it.


def test_bytes_that_are_no_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train, image 1: found 4 bytes.*Convert it"):
        store_images(tmp_path / "d", train=[(jpeg(PIXELS[0]), 1), (b"II*\0", 1)])


def test_a_misspelt_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'train'"):
        store_images(tmp_path / "d", trian=(PIXELS, LABELS))


def test_a_folder_is_replaced_only_when_asked(tmp_path: Path) -> None:
    given = {"train": (PIXELS, LABELS), "test": (TEST_PIXELS, TEST_LABELS)}
    folder = store_images(tmp_path / "d", **given)
    with pytest.raises(ValueError, match="overwrite=True"):
        store_images(tmp_path / "d", **given)
    given["train"] = (PIXELS[:6], LABELS[:6])
    store_images(tmp_path / "d", overwrite=True, **given)
    assert len(read(folder).train) == 6
