"""What an epoch logs: one table, which all that stores or shows values reads."""

from __future__ import annotations

import dataclasses
import fnmatch
from typing import Literal

Unit = Literal["", "score", "share", "images", "steps", "images/s", "s"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value:
    """One value of an epoch.

    Attributes:
        key: Its name in the logs; a `*` stands for any text, as in `recall@*`.
        meaning: What it says, in words.
        unit: `score` and `share` lie in [0, 1]; a share is shown in percent.
        tag: Its name in TensorBoard, where what stands before the slash is a group:
            `{key}` is the key, `{split}` the split that was evaluated, `{part}` the
            number of the learner or cluster.
        decimals: How many a person is shown.
        shown: Whether the terminal's line about the epoch has it.
        plotted: Whether the plot of the scores has it.
        label: What stands before it in the terminal; by default the key.
        is_list: There is one for each learner or cluster. Such values are no numbers
            for callbacks: they travel in the record.
        is_part: It is one of the parts that the seconds of the epoch consist of.
    """

    key: str
    meaning: str
    unit: Unit = ""
    tag: str = "{key}"
    decimals: int = 4
    shown: bool = False
    plotted: bool = False
    label: str | None = None
    is_list: bool = False
    is_part: bool = False

    @property
    def of_split(self) -> bool:
        """Whether it is of the split that was evaluated."""
        return self.tag.startswith("{split}")

    def text(self, number: float) -> str:
        """Returns a number as a person reads it, such as `0.6300` or `93%`."""
        if self.unit == "s":
            return format_seconds(number)
        if self.unit == "share":
            return f"{number:.{self.decimals}%}"
        unit = f" {self.unit}" if self.unit == "images/s" else ""
        return f"{number:.{self.decimals}f}{unit}"


def _score(key: str, meaning: str, shown: bool = False, plotted: bool = False) -> Value:
    return Value(
        key=key,
        meaning=meaning,
        unit="score",
        tag="{split}/{key}",
        shown=shown,
        plotted=plotted,
    )


def _part(key: str, meaning: str) -> Value:
    return Value(
        key=key, meaning=meaning, unit="s", tag="time/{key}", decimals=0, is_part=True
    )


VALUES = (
    Value(key="loss", meaning="mean loss of the steps", tag="loss/all", shown=True),
    Value(
        key="learner_losses",
        meaning="mean loss of each learner's steps; null where it had none",
        tag="loss/learner_{part}",
        is_list=True,
    ),
    _score("recall@1", "recall@1", shown=True, plotted=True),
    _score("recall@*", "recall@K", plotted=True),
    _score("map@r", "MAP@R", shown=True, plotted=True),
    _score("map@*", "mean average precision of the K nearest"),
    _score("map", "mean average precision of the whole ranking"),
    _score("precision@*", "precision of the K nearest"),
    _score("r_precision", "R-precision"),
    _score(
        "nmi", "normalised mutual information of clusters and classes", plotted=True
    ),
    _score("ami", "adjusted mutual information of clusters and classes"),
    _score("f1", "pairwise F1 of clusters and classes"),
    _score("*/recall@*", "recall@K within one source of a mix"),
    _score("*/map@*", "mean average precision within one source of a mix"),
    _score("*/map", "the same of the whole ranking"),
    _score("*/precision@*", "precision within one source of a mix"),
    _score("*/r_precision", "R-precision within one source of a mix"),
    Value(
        key="mean_distance",
        meaning="distance of two images' embeddings, root of the mean square",
        tag="{split}/{key}",
    ),
    Value(
        key="kept",
        meaning="images that stayed in their cluster",
        unit="share",
        tag="division/{key}",
        decimals=0,
        shown=True,
    ),
    Value(
        key="matching_cost",
        meaning="images that changed their cluster",
        unit="images",
        tag="division/{key}",
        decimals=0,
    ),
    Value(
        key="division_nmi",
        meaning="normalised mutual information with the last division",
        unit="score",
        tag="division/{key}",
    ),
    Value(
        key="lone_images",
        meaning="images that no batch can use",
        unit="images",
        tag="division/{key}",
        decimals=0,
    ),
    Value(
        key="cluster_sizes",
        meaning="images of each cluster",
        unit="images",
        tag="cluster_size/cluster_{part}",
        decimals=0,
        is_list=True,
    ),
    Value(key="steps", meaning="steps", unit="steps", tag="time/{key}", decimals=0),
    Value(
        key="images_per_second",
        meaning="images trained on per second",
        unit="images/s",
        tag="time/{key}",
        decimals=0,
        shown=True,
        label="",
    ),
    _part("seconds_data", "waiting for images"),
    _part("seconds_step", "steps"),
    _part("seconds_features", "features to cluster"),
    _part("seconds_kmeans", "k-means"),
    _part("seconds_division", "division"),
    _part("seconds_evaluate", "evaluation"),
    _part("seconds_checkpoint", "checkpoints"),
    Value(
        key="seconds",
        meaning="the whole epoch: the sum of its parts",
        unit="s",
        tag="time/{key}",
        decimals=0,
        shown=True,
        label="",
    ),
)

SELECTED_BY = ("recall@1", "map@r")
"""What the best epoch has the most of; the second decides among equals."""

_OTHER = Value(key="*", meaning="logged by a callback of yours")


def value_of(key: str) -> Value:
    """Returns the table's entry for a key; what it does not have is a plain number."""
    for value in VALUES:
        if fnmatch.fnmatchcase(key, value.key):
            return value
    return _OTHER


def tag_of(key: str, split: str | None = None, part: int | None = None) -> str:
    """Returns the name of a value in TensorBoard.

    Args:
        key: Of the value.
        split: What was evaluated; None where nothing was.
        part: The number of the learner or cluster.
    """
    tag = value_of(key).tag.format(key=key, split=split or "", part=part)
    return tag.removeprefix("/")


def format_value(key: str, number: float) -> str:
    """Returns a number as a person reads it; see `Value.text`."""
    return value_of(key).text(number)


def format_seconds(seconds: float) -> str:
    """Returns a duration as a person says it, such as `2 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
