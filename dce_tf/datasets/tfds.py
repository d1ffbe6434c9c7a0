"""Data sets of TensorFlow Datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import suggest
from dce_tf.datasets import DATASETS
from dce_tf.datasets.optional import require
from dce_tf.datasets.splits import Splits
from dce_tf.datasets.stored import Sample, chosen_splits, read_through


@DATASETS.register("tfds")
def read_tfds(
    data_dir: str | None = None,
    name: str = "",
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
    """Reads a data set with `tensorflow_datasets`; it is written into the cache once.

    Encoded images are kept byte by byte. Splits may be slices, such as `train[:50%]`.
    `train` must share no class with the others; where it does, `test=None,
    test_share=0.5` makes a test of half the classes of `train`.

    Args:
        data_dir: Where TensorFlow Datasets keeps its data; default: its own folder.
        name: Such as `stanford_online_products` or `mnist:3.0.1`.
        image: Feature of the images.
        label: Feature of the classes: a `ClassLabel`, whole numbers or text.
        group: Feature that `--exclude` goes by.
        train: Its split to train on.
        val: Its split that chooses the epoch, if it has one.
        test: Its split that is searched within itself; None for none.
        query: Its split of queries, with `gallery`; then `test=None`.
        gallery: Its split that is searched in.
        test_share: Share of the classes of `train` that become the test.

    Raises:
        UsageError: If the library is missing, or no data set is named.
        ValueError: If a split or a feature is missing, or an image or a label is of the
            wrong kind.
    """
    if not name:
        raise UsageError(
            "--dataset=tfds needs to know which: --dataset=\"tfds(name='cars196')\"."
        )
    library = require("tensorflow_datasets", "tensorflow-datasets", "tfds")
    try:
        builder = library.builder(name, data_dir=data_dir)
    except library.core.registered.DatasetNotFoundError as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"--dataset=tfds: {first}") from error
    builder.download_and_prepare()
    chosen = chosen_splits(
        test_share, test, query, train=train, val=val, gallery=gallery
    )
    _check(builder, chosen.values(), [image, label, *([group] if group else [])])
    facts = (builder.info.full_name, builder.info.splits, chosen, image, label, group)
    return read_through(
        "tfds",
        repr(facts),
        {
            split: lambda theirs=theirs: _samples(  # type: ignore[misc]
                library, builder, theirs, image, label, group
            )
            for split, theirs in chosen.items()
        },
        test_share,
    )


def _check(builder: Any, splits: Any, columns: list[str]) -> None:
    for wanted, known, what in (
        ([each.partition("[")[0] for each in splits], builder.info.splits, "splits"),
        (columns, builder.info.features, "features"),
    ):
        for each in wanted:
            if each not in known:
                raise ValueError(
                    f"{builder.info.full_name}: found the {what} {', '.join(known)}; "
                    f"expected {each!r}.{suggest(each, known)}"
                )


def _samples(
    library: Any, builder: Any, split: str, image: str, label: str, group: str | None
) -> Iterator[Sample]:
    decoders = {}
    if isinstance(builder.info.features[image], library.features.Image):
        decoders[image] = library.decode.SkipDecoding()
    names = getattr(builder.info.features[label], "names", None)
    rows = builder.as_dataset(split=split, decoders=decoders, shuffle_files=False)
    for row in rows.as_numpy_iterator():
        number = row[label]
        known = names is not None and number >= 0
        yield Sample(
            row[image],
            names[number] if names is not None and known else number,
            _text(row[group]) if group else "",
        )


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
