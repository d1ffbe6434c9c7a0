"""Images that are no files yet: written once, as a data set of the csv format.

Everything works on files: a run that is resumed, a cache, the thumbnails of a search
page. So images from elsewhere become files, without loss, before anything else.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dce_tf.base.files import becoming, cache_folder
from dce_tf.base.registry import suggest
from dce_tf.datasets.checks import SPLITS
from dce_tf.datasets.csv_index import HEADER, read_index
from dce_tf.datasets.encoding import encode_image, name_of
from dce_tf.datasets.splits import Splits

_PER_FOLDER = 10_000


class Sample(NamedTuple):
    """One image on its way into a data set.

    Attributes:
        image: See `encoding.encode_image`.
        label: Its class: a whole number or a name.
        group: What else it belongs to, such as a camera; empty for nothing.
    """

    image: Any
    label: Any
    group: str = ""


def store_images(folder: str | Path, overwrite: bool = False, **splits: Any) -> str:
    """Writes images into a folder that is a data set of the csv format.

    Then `Config(dataset="csv", data_dir=folder)`, and `--dataset=csv
    --data_dir=FOLDER` on the command line, train on it, and `evaluate`, `embed`,
    `index` and `data` take it. The folder appears whole or not at all.

    Args:
        folder: What to make.
        overwrite: Replace the folder if it is there.
        **splits: The images of each split: `train`, `val`, `test`, or `query` and
            `gallery`. Each is either a pair of arrays, images uint8
            `(num_images, height, width[, channels])` and labels `(num_images,)`; or
            anything that yields `(image, label)` or `(image, label, group)`, such as a
            list, a generator or a `tf.data.Dataset`, batched or not. Images are pixels,
            encoded files as bytes, or images of Pillow; labels whole numbers of 0 or
            more, or names.

    Returns:
        The folder.

    Raises:
        ValueError: If the folder is there, a split is unknown or empty, or an image or
            a label is not of the kinds above.
    """
    path = Path(folder).expanduser()
    if path.exists() and not overwrite:
        raise ValueError(
            f"{path} exists. Use it as it is, name another folder, or pass "
            "overwrite=True."
        )
    write_data_set(path, {name: samples_of(data) for name, data in splits.items()})
    return str(path)


def samples_of(data: Any) -> Iterator[Sample]:
    """Yields the samples of one split; see `store_images`."""
    if isinstance(data, tuple) and len(data) == 2:
        yield from _of_batch(*data)
        return
    if hasattr(data, "as_numpy_iterator"):
        data = data.as_numpy_iterator()
    for number, element in enumerate(data):
        if not isinstance(element, tuple | list) or len(element) not in (2, 3):
            raise ValueError(
                f"Image {number}: found {type(element).__name__}; expected a pair of "
                "image and label, or a triple with the group as well."
            )
        image, label, *group = element
        if np.ndim(label) == 1 and not isinstance(image, bytes):
            yield from _of_batch(image, label)
        else:
            yield Sample(image, label, str(*group) if group else "")


def _of_batch(images: Any, labels: Any) -> Iterator[Sample]:
    if len(images) != len(labels):
        raise ValueError(
            f"Found {len(images)} images and {len(labels)} labels; expected one label "
            "for each image."
        )
    if np.ndim(labels) == 2 and np.shape(labels)[1] == 1:
        labels = np.reshape(labels, -1)
    yield from map(Sample, images, labels)


def write_data_set(
    folder: Path, splits: Mapping[str, Iterable[Sample]], test_share: float = 0.0
) -> None:
    """Writes `images/…` and `index.csv`; the folder appears whole or not at all.

    Args:
        folder: What to make; replaced if it is there.
        splits: The samples by split, out of `SPLITS`.
        test_share: Above 0, this share of the classes of `train`, the only split then,
            becomes the test. Which ones depends on their names alone.

    Raises:
        ValueError: If a split is unknown or empty, a sample is of the wrong kind, or
            the share does not fit.
    """
    if test_share and (list(splits) != ["train"] or not 0 < test_share < 1):
        raise ValueError(
            f"test_share={test_share} makes a test of some classes of train, so it "
            "must lie between 0 and 1, and train must be the only split; found "
            f"{', '.join(splits)}. Name no others."
        )
    for name in splits:
        if name not in SPLITS:
            raise ValueError(
                f"Found a split {name!r}; expected some of {', '.join(SPLITS)}."
                f"{suggest(name, SPLITS)}"
            )
    rows: list[tuple[str, str, str, str]] = []
    with becoming(folder) as fresh:
        for split, samples in splits.items():
            rows += _write_split(fresh, split, samples)
        held = _held_out({label for _, label, _, _ in rows}, test_share)
        grouped = any(row[-1] for row in rows)
        index = io.StringIO()
        writer = csv.writer(index, lineterminator="\n")
        writer.writerow((*HEADER, "group") if grouped else HEADER)
        for path, label, split, *group in rows:
            part = "test" if label in held else split
            writer.writerow((path, label, part, *group)[: 3 + grouped])
        (fresh / "index.csv").write_text(index.getvalue(), encoding="utf-8")


def _held_out(names: set[str], share: float) -> set[str]:
    """Returns this share of the classes, drawn by their names."""
    drawn = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    return set(drawn[: round(share * len(drawn))])


def _write_split(
    folder: Path, split: str, samples: Iterable[Sample]
) -> Iterator[tuple[str, str, str, str]]:
    """Writes the images of a split and yields their rows of the index."""
    number = -1
    for number, sample in enumerate(samples):
        where = f"{split}, image {number}"
        content, suffix = encode_image(sample.image, where)
        label = name_of(sample.label, where)
        path = f"images/{split}/{number // _PER_FOLDER:04}/{number:08}.{suffix}"
        if number % _PER_FOLDER == 0:
            (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(content)
        yield path, label, split, sample.group
    if number < 0:
        raise ValueError(
            f"The split {split!r} has no images. Check what is given for it, or leave "
            "it out."
        )


def read_through(
    kind: str,
    facts: str,
    splits: Mapping[str, Callable[[], Iterable[Sample]]],
    test_share: float = 0.0,
) -> Splits:
    """Reads a data set that is kept in another form, writing it into the cache first.

    Args:
        kind: Name of the form, which begins the folder's.
        facts: What tells one such data set from another, or from a changed one.
        splits: What yields the samples of each split; called once, if at all.
        test_share: See `write_data_set`.

    Raises:
        ValueError: If the splits do not fit, or a sample is of the wrong kind.
    """
    digest = hashlib.sha256(f"{facts} {test_share}".encode()).hexdigest()[:20]
    folder = cache_folder() / "data" / f"{kind}-{digest}"
    if not (folder / "index.csv").is_file():
        found = {name: samples() for name, samples in splits.items()}
        write_data_set(folder, found, test_share)
    try:
        return read_index(folder / "index.csv")
    except ValueError as error:
        raise ValueError(
            f"--dataset={kind}: {error} Where train and test share their classes, "
            "test=None and test_share=0.5 make a test of half the classes of train."
        ) from error


def chosen_splits(
    test_share: float, test: str | None, query: str | None, **others: str | None
) -> dict[str, str]:
    """Returns which split of a foreign data set each of ours is read from.

    Args:
        test_share: Above 0 there is no test to read.
        test: What is searched within itself; passed over where there are queries.
        query: What is searched for.
        **others: `train`, `val` and `gallery`; None for none.
    """
    wanted = {**others, "query": query}
    wanted["test"] = None if query or test_share else test
    return {split: str(theirs) for split, theirs in wanted.items() if theirs}
