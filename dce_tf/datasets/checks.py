"""What every data set must keep, whichever format it came in."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.datasets.labels import check_names, clean_labels
from dce_tf.datasets.listing import Listing
from dce_tf.datasets.splits import Images, Search, Splits

SPLITS = ("train", "val", "test", "query", "gallery")


def build_splits(
    source: Path,
    listings: Mapping[str, Listing],
    *,
    recall_at: tuple[int, ...] = (1, 2, 4, 8),
    map_at: tuple[int, ...] = (10,),
    warnings: tuple[str, ...] = (),
) -> Splits:
    """Checks what a reader found and turns it into `Splits`.

    Args:
        source: The list file or folder it was found in, for the errors.
        listings: The images by split, out of `SPLITS`. `test` is searched within
            itself; `query` is searched for in `gallery`.
        recall_at: The K of recall@K.
        map_at: The K of mAP@K.
        warnings: What the reader let pass; this adds to it.

    Returns:
        The splits; without a training split, which only training needs (see
        `require_train`), `train` is empty.

    Raises:
        ValueError: If there is no test, two splits contradict each other, a class is in
            train and elsewhere or spelled in two ways, an image is named twice, train
            gives no pair or no contrast, or nothing in val or the test can be found.
    """
    found = {
        split: dataclasses.replace(listing, names=clean_labels(listing.names))
        for split, listing in listings.items()
        if len(listing)
    }
    _check_present(source, found)
    check_unique(source, found)
    spelled = check_names(
        source, itertools.chain.from_iterable(each.names for each in found.values())
    )
    if "train" in found:
        _check_train(source, found["train"])
    for split in found:
        if split != "train" and "train" in found:
            _check_disjoint(source, found, split)
    images = {split: _number(listing) for split, listing in found.items()}
    groups = _number_names([listing.groups for listing in found.values()])
    supers = _number_names([listing.super_classes for listing in found.values()])
    for part, own, kinds in zip(images, groups, supers, strict=True):
        images[part] = dataclasses.replace(
            images[part], groups=own, super_classes=kinds
        )
    if "test" in found:
        query = gallery = images["test"]
    else:
        query, gallery = _number_alike(images["query"], images["gallery"])
    test = Search("test", query, gallery)
    notes = check_search(source, test)
    val = images.get("val")
    if val is not None:
        notes += check_search(source, Search("val", val, val)) + _shared_val(found)
    return Splits(
        images["train"] if "train" in images else Images.none(),
        val,
        (test,),
        recall_at=recall_at,
        map_at=map_at,
        warnings=(*warnings, *spelled, *notes),
    )


def require_train(splits: Splits, source: str | None) -> None:
    """Checks that there is something to train on.

    Args:
        splits: What a reader found.
        source: Where, for the error.

    Raises:
        ValueError: If there is no training split.
    """
    if not len(splits.train):
        raise ValueError(
            f"{source}: found no images in train; expected some, to train on. Add a "
            "train split of classes that the test does not have. `evaluate` needs none."
        )


def check_search(source: Path | str, search: Search) -> tuple[str, ...]:
    """Looks for queries that can find nothing, whichever door the labels came in by.

    Args:
        source: Where the labels stand, for the error.
        search: What is to be scored.

    Returns:
        A warning if some can find nothing.

    Raises:
        ValueError: If none can find anything.
    """
    names = search.gallery.class_names
    queries, images = (
        np.bincount(part.labels, minlength=len(names))
        for part in (search.query, search.gallery)
    )
    others = images - 1 if search.leave_one_out else images
    if not np.any((queries > 0) & (others > 0)):
        has = (
            f"found one image of each of {np.count_nonzero(queries)} classes in "
            f"{search.name}; expected a class with two or more, as each image is "
            "searched among the others"
            if search.leave_one_out
            else f"found no class of query in gallery, e.g. "
            f"{names[search.query.labels[0]]!r}; gallery has such as "
            f"{names[search.gallery.labels[0]]!r}. Expected the same classes on both "
            "sides"
        )
        raise ValueError(f"{source}: {has}. Correct the labels.")
    missing = [names[i] for i in np.flatnonzero((queries > 0) & (others < 1))]
    if search.leave_one_out:
        what = f"of {search.name} have one image, which can only be a miss"
    else:
        what = "of query have no gallery image; their queries are misses"
    return _warn(missing, what)


def check_counts(
    source: Path,
    found: Mapping[str, int],
    expected: Mapping[str, int],
    *,
    allow_partial_data: bool,
) -> tuple[str, ...]:
    """Compares what was read with what the data set is published to hold.

    Args:
        source: The list file, for the error.
        found: Counts, by what is counted, e.g. `{"train images": 25882}`.
        expected: The published counts, of the same keys.
        allow_partial_data: Whether to go on if they differ.

    Returns:
        A warning if they differ and that is allowed.

    Raises:
        ValueError: If they differ and that is not allowed.
    """
    wrong = [
        f"{found[what]:,} {what} (expected {count:,})"
        for what, count in expected.items()
        if found[what] != count
    ]
    if not wrong:
        return ()
    text = f"{source}: found {', '.join(wrong)}."
    if not allow_partial_data:
        raise ValueError(
            f"{text} Download the data set again, or pass --allow_partial_data to go "
            "on with what is there; its scores then compare to no published ones."
        )
    return (f"{text} The data set is not the published one.",)


def check_unique(source: Path, found: Mapping[str, Listing]) -> None:
    """Sees to it that no image is named twice, within a split or in two.

    Args:
        source: The list file or folder, for the error.
        found: The images by split.

    Raises:
        ValueError: If one is.
    """
    seen: dict[str, str] = {}
    for listing in found.values():
        for row, path in enumerate(listing.paths):
            if path in seen:
                raise ValueError(
                    f"{listing.place(source, row)}: found {path!r} again, after "
                    f"{seen[path]}; expected each image once. Remove one of the two."
                )
            seen[path] = listing.place(source, row)


def _check_present(source: Path, found: Mapping[str, Listing]) -> None:
    has = f"{source}: found {_join(found) if found else 'no images'}"
    if "test" in found and ("query" in found or "gallery" in found):
        raise ValueError(
            f"{has}; expected either test or query and gallery. Remove one of the two."
        )
    if ("query" in found) != ("gallery" in found):
        raise ValueError(
            f"{has}; expected query and gallery together. Add the other one, or name "
            "the split test if it is to be searched within itself."
        )
    if "test" not in found and "query" not in found:
        raise ValueError(
            f"{has}; expected test, or query and gallery. Add one, of classes that "
            "train does not have."
        )


def _check_train(source: Path, train: Listing) -> None:
    sizes = collections.Counter(train.names)
    if len(sizes) < 2:
        raise ValueError(
            f"{source}: found only class {train.names[0]!r} in train; expected at "
            "least two. Add images of another class."
        )
    if max(sizes.values()) < 2:
        raise ValueError(
            f"{source}: found no train class with two images among {len(sizes)}; "
            "expected at least one, so that there is a pair to learn from. Add images "
            "or correct the labels."
        )


def _check_disjoint(source: Path, found: Mapping[str, Listing], split: str) -> None:
    shared = set(found["train"].names) & set(found[split].names)
    if shared:
        listing = found[split]
        row = next(i for i, name in enumerate(listing.names) if name in shared)
        raise ValueError(
            f"{listing.place(source, row)}: found class {listing.names[row]!r} in both "
            f"train and {split} ({len(shared)} such classes); expected each class in "
            "one of them. Move its images to one, or rename the class."
        )


def _number(listing: Listing) -> Images:
    return Images.from_names(listing.paths, listing.names)


def _number_alike(query: Images, gallery: Images) -> tuple[Images, Images]:
    """Numbers the classes of two splits in one count."""
    names = sorted({*query.class_names, *gallery.class_names})
    numbers = {name: number for number, name in enumerate(names)}

    def renumber(images: Images) -> Images:
        labels = np.array([numbers[name] for name in images.class_names], np.int32)
        return dataclasses.replace(
            images, labels=labels[images.labels], class_names=tuple(names)
        )

    return renumber(query), renumber(gallery)


def _number_names(
    named: Sequence[Sequence[str]],
) -> list[npt.NDArray[np.int32] | None]:
    """Numbers the names of each split, in one count for all; −1 for none."""
    numbers = {"": -1}
    for names in named:
        for name in names:
            numbers.setdefault(name, len(numbers) - 1)
    return [
        np.array([numbers[name] for name in names], np.int32) if names else None
        for names in named
    ]


def _shared_val(found: Mapping[str, Listing]) -> tuple[str, ...]:
    tests = (found[split].names for split in found if split not in ("train", "val"))
    shared = set(found["val"].names) & set(itertools.chain.from_iterable(tests))
    return _warn(sorted(shared), "are in both val and the test; choosing by val peeks")


def _warn(names: list[str], what: str) -> tuple[str, ...]:
    return (f"{len(names)} classes {what}, e.g. {names[0]!r}.",) if names else ()


def _join(found: Mapping[str, Listing]) -> str:
    return ", ".join(f"{len(found[s]):,} images in {s}" for s in SPLITS if s in found)
