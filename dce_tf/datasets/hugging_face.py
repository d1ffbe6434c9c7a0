"""Data sets of the Hugging Face Hub, or in its formats: Parquet, Arrow, folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest
from dce_tf.datasets import DATASETS
from dce_tf.datasets.optional import require
from dce_tf.datasets.splits import Splits
from dce_tf.datasets.stored import Sample, chosen_splits, read_through


@DATASETS.register("hf")
def read_hugging_face(
    data_dir: str | None = None,
    path: str = "",
    name: str | None = None,
    image: str = "image",
    label: str = "label",
    group: str | None = None,
    train: str | None = "train",
    val: str | None = None,
    test: str | None = "test",
    query: str | None = None,
    gallery: str | None = None,
    test_share: float = 0.0,
) -> Splits:
    """Reads a data set with the library `datasets`; it is written into the cache once.

    Encoded images are kept byte by byte. `train` must share no class with the other
    splits; where it does, `test=None, test_share=0.5` makes a test of half the classes
    of `train`.

    Args:
        data_dir: A folder on this machine, in place of `path`.
        path: Name on the Hub, such as `user/name`, or a folder: of Parquet files, of
            `save_to_disk`, or of images by split and class.
        name: Configuration of the data set, if it has several.
        image: Column of the images: of type `Image`, files as bytes, or uint8 pixels.
        label: Column of the classes: `ClassLabel`, whole numbers or text.
        group: Column of what `--exclude` goes by.
        train: Its split to train on.
        val: Its split that chooses the epoch, if it has one.
        test: Its split that is searched within itself; None for none.
        query: Its split of queries, with `gallery`; then `test=None`.
        gallery: Its split that is searched in.
        test_share: Share of the classes of `train` that become the test.

    Raises:
        UsageError: If the library is missing, or no data set is named.
        ValueError: If a split or a column is missing, or an image or a label is of the
            wrong kind.
    """
    source = path or data_dir
    if not source:
        raise UsageError(
            "--dataset=hf needs to know which: --dataset=\"hf(path='user/name')\", or "
            "a folder as --data_dir."
        )
    library = require("datasets", "datasets", "hf")
    found = _load(library, source, name)
    named = chosen_splits(
        test_share, test, query, train=train, val=val, gallery=gallery
    )
    chosen = {split: _split(found, theirs, source) for split, theirs in named.items()}
    columns = (image, label, group)
    facts = [[s, part._fingerprint, columns] for s, part in chosen.items()]
    return read_through(
        "hf",
        repr(facts),
        {
            split: lambda part=part: samples_of_columns(  # type: ignore[misc]
                library, part, image, label, group
            )
            for split, part in chosen.items()
        },
        test_share,
    )


def _load(library: Any, source: str, name: str | None) -> Any:
    folder = Path(source).expanduser()
    if (folder / "dataset_dict.json").is_file():
        return library.load_from_disk(str(folder))
    try:
        return library.load_dataset(str(folder) if folder.exists() else source, name)
    except (OSError, ValueError, LookupError) as error:
        raise ValueError(
            f"--dataset=hf: {source} could not be loaded: {error}. Expected a name on "
            "the Hub, or a folder of Parquet files, images or save_to_disk."
        ) from error


def _split(found: Any, name: str, source: str) -> Any:
    if name not in found:
        raise ValueError(
            f"{source}: found the splits {', '.join(found)}; expected {name!r}."
            f"{suggest(name, found)} Name them, as in hf(train='train', test=None, "
            "test_share=0.5)."
        )
    return found[name]


def samples_of_columns(
    library: Any, part: Any, image: str, label: str, group: str | None
) -> Iterator[Sample]:
    """Yields the samples of one split.

    Args:
        library: The module `datasets`.
        part: A `datasets.Dataset`.
        image: Column of the images.
        label: Column of the classes.
        group: Column of the groups, if any.

    Raises:
        ValueError: If a column is missing.
    """
    features = part.features
    for column in filter(None, (image, label, group)):
        if column not in features:
            raise ValueError(
                f"--dataset=hf: found the columns {', '.join(features)}; expected "
                f"{column!r}.{suggest(column, features)}"
            )
    if isinstance(features[image], library.Image):
        part = part.cast_column(image, library.Image(decode=False))
    names = getattr(features[label], "names", None)
    for row in part:
        number = row[label]
        known = names is not None and number is not None and number >= 0
        yield Sample(
            _content(row[image]),
            names[number] if names is not None and known else number,
            str(row[group]) if group else "",
        )


def _content(image: Any) -> Any:
    """Returns the bytes of an image that is a file, or the pixels of another."""
    if isinstance(image, dict):
        return image["bytes"] or Path(image["path"]).read_bytes()
    if not isinstance(image, list):
        return image
    # The library hands over pixels as lists, without their dtype.
    pixels = np.asarray(image)
    whole = pixels.dtype.kind == "i" and pixels.size
    fits = whole and pixels.min() >= 0 and pixels.max() <= 255
    return pixels.astype(np.uint8) if fits else pixels
