"""Which of the versions there are shall be served."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """A choice of versions.

    Attributes:
        specific: These, where they are found; empty for a choice by age.
        newest: How many of the newest; None for all.
    """

    specific: frozenset[int] = frozenset()
    newest: int | None = 1

    def choose(self, found: Collection[int]) -> set[int]:
        """Returns the versions to serve of those found."""
        if self.specific:
            return set(self.specific.intersection(found))
        order = sorted(found, reverse=True)
        return set(order[: self.newest])


NEWEST = VersionPolicy()
"""The newest version alone."""
