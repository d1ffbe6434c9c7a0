"""Plants what a doctor should find: copies, leaks, wrong labels, odd pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from dce_tf.doctor.population import Population

LEAKS, STRAYS, ODD, CLASSES = 20, 20, 10, 3
_COPIES, _WRONG = 0.01, 0.05
_LARGE = 8  # Images of a class that is cut in two or joined with another.


@dataclasses.dataclass(frozen=True, eq=False)
class Planted:
    """A data set that is not well, and what is wrong with it.

    Attributes:
        population: The images.
        pairs: What was copied, `(copy, original)` in rows, by kind: `duplicate` and
            `leak`, each `exact` and `near`.
        wrong: The class that an image should have, by its row.
        odd: Rows of pictures by what was done to them.
        twins: Classes that are one, as pairs of names.
        joined: Classes that are two.
        strange: Rows whose label means nothing.
    """

    population: Population
    pairs: dict[str, list[tuple[int, int]]]
    wrong: dict[int, str]
    odd: dict[str, list[int]]
    twins: list[frozenset[str]]
    joined: list[str]
    strange: set[int]


def _near(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    ratio = rng.uniform(0.5, 0.95)
    size = (max(1, round(side * ratio)) for side in picture.size)
    return picture.resize(tuple(size), Image.Resampling.BICUBIC)


_ODD: dict[str, Callable[[Image.Image], Image.Image]] = {
    "dark": lambda picture: picture.point(lambda level: level // 10),
    "blurred": lambda picture: picture.filter(
        ImageFilter.GaussianBlur(min(picture.size) / 24)
    ),
    "empty": lambda picture: Image.new("RGB", picture.size, picture.getpixel((0, 0))),
    "tiny": lambda picture: picture.resize((24, 24)),
}


class _Planting:
    """Changes lists of paths, names and splits; an image is changed once."""

    def __init__(self, base: Population, folder: Path, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.folder = folder
        self.paths = list(base.paths)
        self.names = [base.name(row) for row in range(len(base))]
        self.splits = [base.split(row) for row in range(len(base))]
        self.is_train = [split == "train" for split in self.splits]
        self._untouched = self.rng.permutation(len(base)).tolist()

    def take(self, number: int, *, tested: bool = False) -> list[int]:
        """Returns rows that nothing was done to, of the test or any."""
        fitting = (r for r in self._untouched if not (tested and self.is_train[r]))
        taken = [row for _, row in zip(range(number), fitting, strict=False)]
        self._untouched = [row for row in self._untouched if row not in set(taken)]
        return taken

    def classes(self, *, train: bool) -> list[str]:
        """Returns the classes of a side."""
        sides = zip(self.names, self.is_train, strict=True)
        return sorted({name for name, side in sides if side == train})

    def add(self, path: str, name: str, split: str) -> int:
        """Adds an image; returns its row."""
        self.paths.append(path)
        self.names.append(name)
        self.splits.append(split)
        self.is_train.append(split == "train")
        return len(self.paths) - 1

    def copy(self, row: int, *, exact: bool) -> str:
        """Writes a copy of an image; returns its path."""
        source = Path(self.paths[row])
        file = self.folder / f"copy-{row}{source.suffix}"
        if exact:
            file.write_bytes(source.read_bytes())
        else:
            with Image.open(source) as picture:
                quality = int(self.rng.integers(40, 90))
                changed = _near(picture.convert("RGB"), self.rng)
                changed.save(file, "JPEG", quality=quality)
        return str(file)

    def spoil(self, row: int, word: str) -> None:
        """Puts a changed picture in the place of an image."""
        file = self.folder / f"{word}-{row}.jpg"
        with Image.open(self.paths[row]) as picture:
            _ODD[word](picture.convert("RGB")).save(file, "JPEG", quality=90)
        self.paths[row] = str(file)


def plant(base: Population, strays: Sequence[str], folder: Path, seed: int) -> Planted:
    """Returns a data set with what a doctor should find.

    Args:
        base: The images as they are; training classes are not tested on.
        strays: Images of another kind.
        folder: Where new files go.
        seed: Decides what is planted.
    """
    planting = _Planting(base, folder, seed)
    twins, joined = _confuse_classes(planting)
    pairs: dict[str, list[tuple[int, int]]] = {}
    copied = planting.take(round(_COPIES * len(base)))
    leaked = planting.take(LEAKS, tested=True)
    trained = planting.classes(train=True)
    strange = set()
    for kind, rows in (("duplicate", copied), ("leak", leaked)):
        for place, row in enumerate(rows):
            exact = place % 2 == 0
            path = planting.copy(row, exact=exact)
            name, split = planting.names[row], planting.splits[row]
            if kind == "leak":
                name, split = str(planting.rng.choice(trained)), "train"
            new = planting.add(path, name, split)
            key = f"{kind}, {'exact' if exact else 'near'}"
            pairs.setdefault(key, []).append((new, row))
            strange |= {new} if kind == "leak" else set()
    wrong = {}
    for row in planting.take(round(_WRONG * len(base))):
        wrong[row] = planting.names[row]
        others = planting.classes(train=planting.is_train[row])
        others.remove(wrong[row])
        planting.names[row] = str(planting.rng.choice(others))
    odd: dict[str, list[int]] = {}
    for word in _ODD:
        odd[word] = planting.take(ODD)
        for row in odd[word]:
            planting.spoil(row, word)
            strange.add(row)
    chosen = planting.rng.choice(len(strays), STRAYS, replace=False)
    odd["outlier"] = [
        planting.add(strays[each], str(planting.rng.choice(trained)), "train")
        for each in chosen
    ]
    strange |= set(odd["outlier"])
    population = Population.from_lists(planting.paths, planting.names, planting.splits)
    return Planted(population, pairs, wrong, odd, twins, joined, strange)


def _confuse_classes(planting: _Planting) -> tuple[list[frozenset[str]], list[str]]:
    """Gives some classes two names, and others the name of another."""
    names = np.array(planting.names)
    large = [
        name
        for name in planting.classes(train=True)
        if np.count_nonzero(names == name) >= _LARGE
    ]
    chosen = planting.rng.permutation(large)[: 3 * CLASSES].tolist()
    twins, joined = [], []
    for name in chosen[:CLASSES]:
        rows = planting.rng.permutation(np.flatnonzero(names == name))
        for row in rows[::2]:
            planting.names[row] = f"{name} again"
        twins.append(frozenset((name, f"{name} again")))
    for one, other in zip(
        chosen[CLASSES : 2 * CLASSES], chosen[2 * CLASSES :], strict=True
    ):
        for row in np.flatnonzero(names == other):
            planting.names[row] = one
        joined.append(one)
    return twins, joined
