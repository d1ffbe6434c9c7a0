"""Shards of WebDataset: tar files with an image and its label side by side."""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dce_tf.datasets import DATASETS
from dce_tf.datasets.listing import require_data_dir
from dce_tf.datasets.splits import Splits
from dce_tf.datasets.stored import Sample, chosen_splits, read_through

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp")


@DATASETS.register("webdataset")
def read_webdataset(
    data_dir: str | None = None,
    label: str = "cls",
    group: str | None = None,
    train: str | None = "train-*.tar",
    val: str | None = None,
    test: str | None = "test-*.tar",
    query: str | None = None,
    gallery: str | None = None,
    test_share: float = 0.0,
) -> Splits:
    """Reads tar shards of WebDataset; they are unpacked once.

    A sample is the files of one name: an image, `NAME.jpg` for example, and its label.
    `train` must share no class with the other splits; where it does, `test=None,
    test_share=0.5` makes a test of half the classes of `train`.

    Args:
        data_dir: The folder of the shards.
        label: Suffix of the file that holds the class as text, or `json.FIELD`.
        group: The same for the group, which `--exclude` goes by.
        train: The shards to train on: `train-*.tar`, `train-{000..009}.tar` or a name.
        val: Shards that choose the epoch, if there are any.
        test: Shards that are searched within themselves; None for none.
        query: Shards of queries, with `gallery`; then `test=None`.
        gallery: Shards that are searched in.
        test_share: Share of the classes of `train` that become the test.

    Raises:
        UsageError: If `data_dir` is missing.
        ValueError: If there are no such shards, or an image or a label is missing or of
            the wrong kind.
    """
    root = require_data_dir(data_dir, "webdataset", "a folder of .tar shards")
    named = chosen_splits(
        test_share, test, query, train=train, val=val, gallery=gallery
    )
    shards = {split: _expand(root, pattern) for split, pattern in named.items()}
    stats = [
        (split, str(file.absolute()), file.stat().st_size, file.stat().st_mtime_ns)
        for split, files in shards.items()
        for file in files
    ]
    return read_through(
        "webdataset",
        repr((stats, label, group)),
        {
            split: lambda files=files: _samples(  # type: ignore[misc]
                files, label, group
            )
            for split, files in shards.items()
        },
        test_share,
    )


def _expand(root: Path, pattern: str) -> list[Path]:
    names = _expand_range(pattern)
    files = sorted(file for name in names for file in root.glob(name))
    if not files or len(files) < len(names):
        raise ValueError(
            f"{root}: found {len(files)} shards of {pattern}; expected "
            f"{len(names) if len(names) > 1 else 'one or more'}. Name them, as in "
            "webdataset(train='train-{000..009}.tar', test='test-*.tar')."
        )
    return files


def _expand_range(pattern: str) -> list[str]:
    """Returns the names that `{000..009}` stands for."""
    found = _RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last = found.groups()
    return [
        f"{pattern[: found.start()]}{number:0{len(first)}}{rest}"
        for number in range(int(first), int(last) + 1)
        for rest in _expand_range(pattern[found.end() :])
    ]


def _samples(files: list[Path], label: str, group: str | None) -> Iterator[Sample]:
    for file in files:
        for name, fields in _grouped(file):
            where = f"{file}, sample {name!r}"
            image = next((fields[each] for each in _IMAGES if each in fields), None)
            if image is None:
                raise ValueError(
                    f"{where}: found {_listed(fields)}; expected an image: one of "
                    f"{', '.join(_IMAGES)}."
                )
            yield Sample(
                image,
                _field(fields, label, where),
                str(_field(fields, group, where)) if group else "",
            )


def _grouped(file: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yields the samples of a shard: files in a row whose names begin alike.

    The name of a sample ends at the first dot behind its last slash.
    """
    with tarfile.open(file) as tar:
        members = ((_split_name(each.name), each) for each in tar if each.isfile())
        for name, group in itertools.groupby(members, lambda pair: pair[0][0]):
            fields = {}
            for (_, suffix), member in group:
                content = tar.extractfile(member)
                fields[suffix] = content.read() if content else b""
            yield name, fields


def _split_name(path: str) -> tuple[str, str]:
    folder, slash, name = path.rpartition("/")
    stem, _, suffix = name.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


def _field(fields: Mapping[str, bytes], name: str, where: str) -> Any:
    suffix, _, key = name.partition(".")
    if suffix not in fields:
        raise ValueError(
            f"{where}: found {_listed(fields)}; expected {suffix!r}. Name the label's, "
            "as in webdataset(label='json.class')."
        )
    text = fields[suffix].decode("utf-8")
    if not key:
        return text.strip()
    values = json.loads(text)
    if key not in values:
        raise ValueError(
            f"{where}: found the fields {', '.join(values)} in {suffix}; expected "
            f"{key!r}."
        )
    return values[key]


def _listed(fields: Mapping[str, bytes]) -> str:
    return ", ".join(fields) or "nothing"
