"""What every reader returns: images and labels, cut into splits."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """The images of one split; a row is a position in it.

    Attributes:
        paths: Where each image lies.
        labels: Contiguous class of each image, int32, shape `(num_images,)`.
        class_names: Name of each class as the data set spells it; `labels` index it.
        groups: What else an image belongs to, such as the camera or the photograph it
            was cut out of, int32 `(num_images,)`, numbered alike in all splits; −1 for
            none. None if the data set knows none.
        super_classes: The kind of thing the class of an image is, in the same way.
        sources: Which of `Splits.sources` an image is of, in the same way; None where
            there is one source only.
    """

    paths: tuple[str, ...]
    labels: npt.NDArray[np.int32]
    class_names: tuple[str, ...]
    groups: npt.NDArray[np.int32] | None = None
    super_classes: npt.NDArray[np.int32] | None = None
    sources: npt.NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def class_counts(self) -> npt.NDArray[np.int64]:
        """How many images each class has, int64 `(num_classes,)`."""
        return np.bincount(self.labels, minlength=len(self.class_names))

    @classmethod
    def from_names(cls, paths: Sequence[str], names: Sequence[str]) -> Images:
        """Numbers the classes 0, 1, … in the sorted order of their names.

        Args:
            paths: Where each image lies.
            names: The class of each image, as text.
        """
        class_names, labels = np.unique(np.asarray(names, str), return_inverse=True)
        return cls(tuple(paths), labels.astype(np.int32), tuple(class_names.tolist()))

    @classmethod
    def none(cls) -> Images:
        """Returns a set without an image."""
        return cls((), np.empty(0, np.int32), ())

    def keep(self, rows: npt.NDArray[np.int64]) -> Images:
        """Returns only `rows`, in that order, with classes numbered as before."""
        paths = tuple(self.paths[row] for row in rows)
        groups, supers, sources = (
            None if numbers is None else numbers[rows]
            for numbers in (self.groups, self.super_classes, self.sources)
        )
        return Images(
            paths, self.labels[rows], self.class_names, groups, supers, sources
        )

    def numbers_of_sources(self) -> set[int]:
        """Returns which of `Splits.sources` there are images of."""
        return set() if self.sources is None else set(self.sources.tolist())

    def of_source(self, source: int) -> Images:
        """Returns the images of one source, with classes numbered as before.

        Args:
            source: Which of `Splits.sources`.
        """
        if self.sources is None:
            raise ValueError("These images are of one source; expected several.")
        return self.keep(np.flatnonzero(self.sources == source))

    def select(self, rows: npt.NDArray[np.int64]) -> Images:
        """Returns only `rows`, in that order, with classes renumbered."""
        kept = self.keep(rows)
        used, labels = np.unique(kept.labels, return_inverse=True)
        names = tuple(self.class_names[label] for label in used)
        return dataclasses.replace(
            kept, labels=labels.astype(np.int32), class_names=names
        )


def concatenate(parts: Sequence[Images]) -> Images:
    """Puts images behind each other; classes of one name are one class.

    Args:
        parts: The images. Their groups, super-classes and sources are numbered alike.
            Where some parts have them, an image of the others has none (−1).
    """
    names = sorted({name for part in parts for name in part.class_names})
    number = {name: label for label, name in enumerate(names)}
    labels = [
        np.array([number[name] for name in part.class_names], np.int32)[part.labels]
        for part in parts
    ]

    def joined(field: str) -> npt.NDArray[np.int32] | None:
        columns = [getattr(part, field) for part in parts]
        if all(column is None for column in columns):
            return None
        filled = [
            np.full(len(part), -1, np.int32) if column is None else column
            for part, column in zip(parts, columns, strict=True)
        ]
        return np.concatenate(filled)

    return Images(
        tuple(path for part in parts for path in part.paths),
        np.concatenate([np.empty(0, np.int32), *labels]),
        tuple(names),
        joined("groups"),
        joined("super_classes"),
        joined("sources"),
    )


def _once(paths: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(paths))


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """A search that is scored: the images, and by which protocol.

    Attributes:
        name: What reports call it.
        query: What is searched for.
        gallery: What is searched in; the two number their classes alike. The same
            object as `query` where each image is searched among all others.
        num_galleries: If above 0, `query` is cut again this many times: one random
            image of each class is the gallery, the rest are the queries.
        united: Names of the sources whose searches it unites, as in `Splits.sources`;
            empty where its images are its own. Of a union some queries may lie in the
            gallery, too, where each is hidden from itself.
    """

    name: str
    query: Images
    gallery: Images
    num_galleries: int = 0
    united: tuple[str, ...] = ()

    @property
    def is_union(self) -> bool:
        """Whether its images are those of other searches."""
        return bool(self.united)

    @property
    def leave_one_out(self) -> bool:
        """Whether one set of images is searched within itself."""
        return self.query is self.gallery

    @functools.cached_property
    def own_rows(self) -> npt.NDArray[np.int64]:
        """Where in the gallery each query itself lies, int64 `(num_queries,)`; or −1.

        Readers see to it that no image is query and gallery of one search.
        """
        if self.leave_one_out:
            return np.arange(len(self.query))
        if not self.is_union:
            return np.full(len(self.query), -1)
        row_of = {path: row for row, path in enumerate(self.gallery.paths)}
        return np.array([row_of.get(path, -1) for path in self.query.paths], np.int64)

    @property
    def overlaps(self) -> bool:
        """Whether some queries lie in the gallery, and others do not."""
        return not self.leave_one_out and bool(np.any(self.own_rows >= 0))

    def of_sources(self, names: Sequence[str]) -> tuple[Search, ...]:
        """Returns the search within each source, of those where one can be scored.

        Args:
            names: As in `Splits.sources`.
        """
        if self.query.sources is None or self.gallery.sources is None:
            return ()
        found = []
        for source, name in enumerate(names):
            query = self.query.of_source(source)
            gallery = query if self.leave_one_out else self.gallery.of_source(source)
            part = dataclasses.replace(self, name=name, query=query, gallery=gallery)
            if part.can_be_scored:
                found.append(part)
        return tuple(found) if len(found) > 1 else ()

    @property
    def can_be_scored(self) -> bool:
        """Whether some query has an image of its class to find."""
        classes = len(self.gallery.class_names)
        there = np.bincount(self.gallery.labels, minlength=classes)
        others = there[self.query.labels] - (self.own_rows >= 0)
        return bool(np.any(others > 0))

    def of_classes(self, most: int, seed: int) -> Search:
        """Returns the search among whole classes, drawn at random.

        Args:
            most: As many classes as have at most this many images, queries and gallery
                counted together; at least two.
            seed: The same seed draws the same classes.
        """
        parts = [self.gallery] if self.leave_one_out else [self.query, self.gallery]
        count = len(self.gallery.class_names)
        sizes = np.bincount(
            np.concatenate([part.labels for part in parts]), minlength=count
        )
        order = np.random.default_rng(seed).permutation(np.flatnonzero(sizes))
        fitting = np.count_nonzero(np.cumsum(sizes[order]) <= most)
        chosen = order[: max(2, fitting)]

        def kept(images: Images) -> Images:
            return images.keep(np.flatnonzero(np.isin(images.labels, chosen)))

        query = kept(self.query)
        gallery = query if self.leave_one_out else kept(self.gallery)
        return dataclasses.replace(self, query=query, gallery=gallery)


@dataclasses.dataclass(frozen=True, eq=False)
class OpenSet:
    """What a data set has besides known classes: images that show none of them.

    Attributes:
        name: The answer that is right for them.
        share: How many of the labelled images they are, 0 to 1.
        val: Those that choose the distance beyond which the answer is given.
        test: Those of the test.
        unlabelled: Images whose classes a competition keeps to itself.
        to_answer: Names of the files it wants an answer for.
    """

    name: str
    share: float
    val: Images
    test: Images
    unlabelled: Images
    to_answer: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """A data set, ready to train and evaluate on.

    Attributes:
        train: What is learned from; its classes are in no other split. Empty where
            the data can only be evaluated on.
        val: Classes held out for choosing the epoch, or None.
        tests: The searches of the final test; reports show the first one's scores.
        recall_at: The K of recall@K that the data set's papers report.
        map_at: The K of mAP@K.
        warnings: What a reader let pass, for the report.
        open_set: Images of no known class, where the data set has them.
        sources: Names of the data sets that these are a mix of; empty for one alone.
    """

    train: Images
    val: Images | None
    tests: tuple[Search, ...]
    recall_at: tuple[int, ...] = (1, 2, 4, 8)
    map_at: tuple[int, ...] = (10,)
    warnings: tuple[str, ...] = ()
    open_set: OpenSet | None = None
    sources: tuple[str, ...] = ()

    @property
    def query(self) -> Images:
        """The queries of the first test."""
        return self.tests[0].query

    @property
    def gallery(self) -> Images:
        """The gallery of the first test."""
        return self.tests[0].gallery

    @property
    def leave_one_out(self) -> bool:
        """Whether the first test searches one split within itself."""
        return self.tests[0].leave_one_out

    def parts(self) -> dict[str, Images]:
        """Returns every set of images there is, once, by name."""
        named = {"train": self.train}
        if self.val is not None:
            named["val"] = self.val
        # What unites other tests has no images of its own.
        tests = [test for test in self.tests if not test.is_union] or self.tests
        for test in tests:
            prefix = "" if len(tests) == 1 else f"{test.name}: "
            if test.leave_one_out:
                named[f"{prefix}test"] = test.query
            else:
                named[f"{prefix}query"] = test.query
                named[f"{prefix}gallery"] = test.gallery
        if self.open_set is not None:
            name = self.open_set.name
            named[f"{name}, val"] = self.open_set.val
            named[f"{name}, test"] = self.open_set.test
            named["unlabelled"] = self.open_set.unlabelled
        once: dict[int, tuple[str, Images]] = {}
        for name, images in named.items():
            once.setdefault(id(images), (name, images))
        return {name: images for name, images in once.values() if len(images)}

    def paths_by_source(self) -> dict[str, list[str]]:
        """Returns the paths of each source over all parts, each path once.

        Returns:
            By the name of the source, which is empty for one data set alone.
        """
        parts = self.parts().values()
        if not self.sources:
            return {"": _once(path for part in parts for path in part.paths)}
        return {
            name: _once(path for part in parts for path in part.of_source(number).paths)
            for number, name in enumerate(self.sources)
        }

    def first_tests(self) -> tuple[Search, ...]:
        """Returns the first test of each source; of one data set alone the first."""
        firsts: dict[int, Search] = {}
        for test in self.tests:
            for number in () if test.is_union else test.query.numbers_of_sources():
                firsts.setdefault(number, test)
        return tuple(firsts.values()) or self.tests[:1]

    def map_parts(self, function: Callable[[Images], Images]) -> Splits:
        """Returns the splits with each set of images changed, once."""
        changed: dict[int, Images] = {}

        def change(images: Images) -> Images:
            if id(images) not in changed:
                changed[id(images)] = function(images)
            return changed[id(images)]

        tests = tuple(
            dataclasses.replace(
                test, query=change(test.query), gallery=change(test.gallery)
            )
            for test in self.tests
        )
        open_set = self.open_set and dataclasses.replace(
            self.open_set,
            val=change(self.open_set.val),
            test=change(self.open_set.test),
            unlabelled=change(self.open_set.unlabelled),
        )
        return dataclasses.replace(
            self,
            train=change(self.train),
            val=self.val and change(self.val),
            tests=tests,
            open_set=open_set,
        )
