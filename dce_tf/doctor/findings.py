"""What can be wrong with images: the kinds, and one finding."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        title: What people call it.
        meaning: What it says, and what may be done, in a sentence or two.
    """

    title: str
    meaning: str


KINDS = {
    "leak": Kind(
        "The same picture in two splits",
        "What is measured was seen before, or finds itself. Drop one of the two.",
    ),
    "duplicate_across_classes": Kind(
        "The same picture in two classes",
        "A picture is to be told from itself. One of the two labels is wrong.",
    ),
    "duplicate": Kind(
        "The same picture twice",
        "Copies count twice in training and are trivial to find. Drop all but one.",
    ),
    "suspect_label": Kind(
        "Labels that the neighbours contradict",
        "The nearest images are of another class, and hardly one is of its own. "
        "Relabel it, or keep it if it is only hard.",
    ),
    "classes_alike": Kind(
        "Classes that look like one",
        "Images of the two are each other's neighbours, much as those of one class "
        "are. Perhaps one thing was filed under two names.",
    ),
    "class_of_two": Kind(
        "Classes that look like two",
        "The class falls into two parts more clearly than classes of its size do. "
        "Perhaps two things share a name, or it was photographed in two places.",
    ),
    "outlier": Kind(
        "Pictures unlike all others",
        "Even the nearest images are far away. Perhaps it does not belong here.",
    ),
    "burst": Kind(
        "Bursts",
        "Photographs in a row that hardly differ. A search that finds one by the next "
        "proves little: exclude them as a group, or keep one.",
    ),
    "empty": Kind(
        "Nearly empty pictures",
        "Almost all pixels have one colour.",
    ),
    "dark": Kind("Dark pictures", "Almost all pixels are dark."),
    "blurred": Kind(
        "Blurred pictures",
        "Much less detail than the other pictures have.",
    ),
    "tiny": Kind(
        "Tiny pictures",
        "Much smaller than the other pictures.",
    ),
    "broken": Kind(
        "Broken files",
        "The file cannot be read as an image. Mend it or drop it.",
    ),
}
"""What is looked for, by the word that stands in the table, most urgent first."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a person should look at.

    Attributes:
        kind: One of `KINDS`.
        rows: The images in question.
        others: What they are to be compared with: one for each, one for all, or none.
        score: How sure or how grave it is; more is worse.
        text: What was found, in a few words.
        suggestion: A verdict that may be right: `drop`, `relabel=CLASS` or nothing.
    """

    kind: str
    rows: tuple[int, ...]
    others: tuple[int, ...] = ()
    score: float = 0.0
    text: str = ""
    suggestion: str = ""

    def other(self, place: int) -> int | None:
        """Returns what the image at a place of `rows` is to be compared with."""
        if not self.others:
            return None
        return self.others[place if len(self.others) == len(self.rows) else 0]
