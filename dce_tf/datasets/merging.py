"""Several data sets as one: classes made disjoint, tests kept apart and united."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.datasets.splits import Images, Search, Splits, concatenate

MERGED = "merged"
"""The name of the search for the queries of all sources in the galleries of all."""


def merge(sources: Mapping[str, Splits]) -> Splits:
    """Merges data sets into one.

    The name of a class becomes `SOURCE/CLASS`, so that no two sources share one. Groups
    are numbered apart, and super-classes, too; a source without any is one super-class.

    Args:
        sources: What a reader found in each, by its name; two or more.

    Returns:
        Their images. The first test is the search for all queries in all galleries;
        those of each source follow.

    Raises:
        ValueError: If an image is in two of them.
    """
    _check_disjoint(sources)
    marked = _marked(sources)
    tests = [
        dataclasses.replace(
            test,
            name=name if len(splits.tests) == 1 else f"{name}: {test.name}",
        )
        for name, splits in marked.items()
        for test in splits.tests
    ]
    united, notes = _unite(marked)
    parts = list(marked.values())
    vals = [splits.val for splits in parts if splits.val is not None]
    return Splits(
        concatenate([splits.train for splits in parts]),
        concatenate(vals) if vals else None,
        (*united, *tests),
        recall_at=_all_of(splits.recall_at for splits in parts),
        map_at=_all_of(splits.map_at for splits in parts),
        warnings=(
            *(
                f"{name}: {warning}"
                for name, splits in marked.items()
                for warning in splits.warnings
            ),
            *_untrained(marked),
            *notes,
        ),
        sources=tuple(marked),
    )


def _check_disjoint(sources: Mapping[str, Splits]) -> None:
    owner: dict[str, str] = {}
    real: dict[str, str] = {}  # A source may be a link to another.
    shared: list[tuple[str, str, str]] = []
    for name, splits in sources.items():
        paths = {path for part in splits.parts().values() for path in part.paths}
        for path in sorted(paths):
            folder, file = os.path.split(path)
            if folder not in real:
                real[folder] = str(Path(folder).resolve())
            first = owner.setdefault(f"{real[folder]}/{file}", name)
            if first != name:
                shared.append((path, first, name))
    if shared:
        path, first, name = shared[0]
        raise ValueError(
            f"{path} is in two sources, {first} and {name} ({len(shared)} such "
            "images); expected each image in one of them, as it would be of two "
            f"classes. Leave {first} or {name} out."
        )


def _marked(sources: Mapping[str, Splits]) -> dict[str, Splits]:
    """Returns splits whose images say of which source they are, numbered apart."""
    groups = _first_numbers(sources, "groups", of_none=0)
    supers = _first_numbers(sources, "super_classes", of_none=1)
    marked = {}
    for number, (name, splits) in enumerate(sources.items()):

        def mark(images: Images, number: int = number, name: str = name) -> Images:
            known = images.super_classes
            if supers is not None and known is None:
                known = np.zeros(len(images), np.int32)
            return dataclasses.replace(
                images,
                class_names=tuple(f"{name}/{each}" for each in images.class_names),
                groups=_shifted(images.groups, groups, name, len(images)),
                super_classes=_shifted(known, supers, name, len(images)),
                sources=np.full(len(images), number, np.int32),
            )

        marked[name] = splits.map_parts(mark)
    return marked


def _first_numbers(
    sources: Mapping[str, Splits], field: str, of_none: int
) -> dict[str, int] | None:
    """Returns from which number on each source counts; None if none has any."""
    firsts: dict[str, int] = {}
    total, known = 0, False
    for name, splits in sources.items():
        columns = [getattr(part, field) for part in splits.parts().values()]
        there = [column for column in columns if column is not None]
        firsts[name] = total
        total += max((int(each.max(initial=-1)) + 1 for each in there), default=of_none)
        known |= bool(there)
    return firsts if known else None


def _shifted(
    numbers: npt.NDArray[np.int32] | None,
    firsts: Mapping[str, int] | None,
    name: str,
    count: int,
) -> npt.NDArray[np.int32] | None:
    if firsts is None:
        return None
    if numbers is None:
        return np.full(count, -1, np.int32)
    return np.where(numbers < 0, -1, numbers + firsts[name]).astype(np.int32)


def _unite(marked: Mapping[str, Splits]) -> tuple[tuple[Search, ...], list[str]]:
    """Returns the search in all galleries, if there is one, and what is not in it."""
    notes = []
    fitting: dict[str, Search] = {}
    for name, splits in marked.items():
        if splits.open_set is not None:
            unknown = splits.open_set
            count = len(unknown.val) + len(unknown.test)
            notes.append(
                f"{name}: its {count} images of {unknown.name} show no known class, "
                "and are in no search of the mix. Evaluate on that data set alone for "
                "scores with them."
            )
        if splits.tests[0].num_galleries:
            notes.append(
                f"{name} is not in the merged search: the gallery of its first test, "
                f"{splits.tests[0].name!r}, is drawn at random, one image per class, "
                "and a merged gallery is fixed. It is scored by itself; with another "
                "protocol, such as vid(protocol=leave_one_out), it takes part."
            )
        else:
            fitting[name] = splits.tests[0]
    if len(fitting) < 2:
        notes.append(
            f"There is no merged search, as it needs two sources and has "
            f"{len(fitting)}; the first test is that of {next(iter(marked))}."
        )
        return (), notes
    searches = list(fitting.values())
    query = concatenate([search.query for search in searches])
    if all(search.leave_one_out for search in searches):
        gallery = query
    else:
        gallery = concatenate([search.gallery for search in searches])
    united = tuple(marked)
    return (Search(MERGED, query, gallery, united=united),), notes


def _untrained(marked: Mapping[str, Splits]) -> list[str]:
    empty = [name for name, splits in marked.items() if not len(splits.train)]
    if not empty or len(empty) == len(marked):
        return []
    return [f"{', '.join(empty)}: no train split, so that nothing is learned from it."]


def _all_of(several: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(sorted({k for ks in several for k in ks}))
