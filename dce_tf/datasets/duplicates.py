"""Image files that are the same, byte for byte, where they should not be."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from dce_tf.datasets.splits import Images


@dataclasses.dataclass(frozen=True, order=True)
class Occurrence:
    """Where an image is in a data set.

    Attributes:
        path: The file.
        split: Such as `train`.
        name: Of its class.
    """

    path: str
    split: str
    name: str


@dataclasses.dataclass(frozen=True)
class Duplicate:
    """An image that is there more than once, in two classes or two splits.

    Attributes:
        found: Where, at least two.
    """

    found: tuple[Occurrence, ...]

    @property
    def in_two_classes(self) -> bool:
        """Whether one picture is to be told from itself."""
        return len({each.name for each in self.found}) > 1

    @property
    def in_two_splits(self) -> bool:
        """Whether what is measured was seen before, or finds itself."""
        return len({each.split for each in self.found}) > 1


def find_duplicates(parts: Mapping[str, Images]) -> list[Duplicate]:
    """Returns the images that are in two classes or in two splits.

    Only files of one size are read. Files that cannot be are passed over. That one path
    is not named twice, readers see to.

    Args:
        parts: The images by split.
    """
    places = collections.defaultdict(list)
    for split, images in parts.items():
        for path, label in zip(images.paths, images.labels, strict=True):
            places[path].append(Occurrence(path, split, images.class_names[label]))
    found = []
    for same in _identical(list(places)):
        where = sorted(each for path in same for each in places[path])
        duplicate = Duplicate(tuple(where))
        if duplicate.in_two_classes or duplicate.in_two_splits:
            found.append(duplicate)
    return sorted(found, key=lambda duplicate: duplicate.found)


def find_shared(sources: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Returns the images that are in two sources of a mix, as copies or links.

    Only files of one size are opened, and only those that begin alike are read.

    Args:
        sources: The paths of the images of each source, by its name.

    Returns:
        The paths of each such image, in the order of the sources.
    """
    owner = {path: name for name, paths in sources.items() for path in paths}

    def of_several(groups: Iterable[list[str]]) -> list[list[str]]:
        return [each for each in groups if len({owner[path] for path in each}) > 1]

    found = of_several(_grouped((path, _size(path)) for path in owner))
    for key in (_beginning, _digest):
        found = [
            group
            for sized in found
            for group in of_several(_grouped((path, key(path)) for path in sized))
        ]
    return [tuple(group) for group in found]


def _identical(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yields the paths of each file that is there more than once."""
    for sized in _grouped((path, _size(path)) for path in paths):
        yield from _grouped((path, _digest(path)) for path in sized)


def _grouped(keyed: Iterable[tuple[str, Hashable]]) -> list[list[str]]:
    groups = collections.defaultdict(list)
    for path, key in keyed:
        if key is not None:
            groups[key].append(path)
    return [group for group in groups.values() if len(group) > 1]


def _size(path: str) -> int | None:
    with contextlib.suppress(OSError):
        return Path(path).stat().st_size or None
    return None


def _beginning(path: str) -> bytes | None:
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return file.read(4096)
    return None


def _digest(path: str) -> bytes | None:
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
    return None
