"""What a person decided on findings: which images go, and which get another class."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dce_tf.base.registry import suggest
from dce_tf.datasets.labels import clean_label
from dce_tf.datasets.listing import iterate_csv, read_text

COLUMNS = (
    "path",
    "finding",
    "score",
    "other_path",
    "class",
    "verdict",
    "suggestion",
    "split",
    "text",
)
"""Of the table of findings; the verdict is for a person to fill in."""

_WORDS = ("keep", "drop", "relabel=CLASS")
_RELABEL = "relabel="
_CONTENT = "a CSV file of `doctor`, with columns path and verdict"


@dataclasses.dataclass(frozen=True)
class Verdicts:
    """What becomes of images; those not named stay as they are.

    Attributes:
        dropped: Absolute paths of images that are left out.
        relabelled: The new class of an image, by its absolute path.
    """

    dropped: frozenset[str]
    relabelled: Mapping[str, str]

    def class_of(self, path: str, name: str) -> str | None:
        """Returns the class of an image, or None if it is left out.

        Args:
            path: Where it lies.
            name: Its class so far.
        """
        whole = whole_path(path)
        return None if whole in self.dropped else self.relabelled.get(whole, name)

    def check_known(self, paths: Iterable[str]) -> None:
        """Checks that every image with a verdict is of a data set.

        Args:
            paths: Where the images of the data set lie.

        Raises:
            ValueError: If one is not.
        """
        named = self.dropped | set(self.relabelled)
        missing = sorted(named - {whole_path(path) for path in paths})
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(named)} images with a verdict are not of this "
                f"data set, the first is {missing[0]}. Pass the --dataset and "
                "--data_dir that `doctor` had."
            )


def read_verdicts(files: Sequence[Path], root: Path | None) -> Verdicts:
    """Reads tables of findings with verdicts.

    An empty verdict, and `keep`, leave an image as it is, unless another line on it
    says otherwise.

    Args:
        files: The tables.
        root: Folder that their paths are relative to; None for the current one.

    Raises:
        ValueError: If a file is not of the format, a verdict is none, or two lines on
            an image contradict each other.
    """
    decided: dict[str, tuple[str, str]] = {}
    for file in files:
        lines = iterate_csv(file, read_text(file, _CONTENT, "Correct --verdicts."))
        header = [field.strip() for field in next(lines)[1]]
        for column in ("path", "verdict"):
            if column not in header:
                raise ValueError(
                    f"{file}, line 1: found no column {column!r} in "
                    f"{', '.join(header)}.{suggest(column, header)} Expected "
                    f"{_CONTENT}."
                )
        for number, fields in lines:
            where = f"{file}, line {number}"
            if len(fields) != len(header):
                raise ValueError(
                    f"{where}: found {len(fields)} fields; expected {len(header)}, as "
                    "in the header."
                )
            row = dict(zip(header, fields, strict=True))
            verdict = _clean(row["verdict"], where)
            if verdict in ("", "keep"):
                continue
            path = whole_path(Path(root or ".", row["path"]))
            before = decided.setdefault(path, (verdict, where))
            if before[0] != verdict:
                raise ValueError(
                    f"{where}: found {verdict!r} for {row['path']}, and {before[0]!r} "
                    f"in {before[1]}; expected one verdict for an image. Correct one."
                )
    return Verdicts(
        frozenset(path for path, (word, _) in decided.items() if word == "drop"),
        {
            path: word.removeprefix(_RELABEL)
            for path, (word, _) in decided.items()
            if word != "drop"
        },
    )


def _clean(text: str, where: str) -> str:
    """Returns a verdict in its one spelling.

    Raises:
        ValueError: If it is none.
    """
    word, equals, name = text.strip().partition("=")
    word, name = word.strip().lower(), clean_label(name)
    if (word in ("", "keep", "drop") and not equals) or (word == "relabel" and name):
        return f"{_RELABEL}{name}" if equals else word
    raise ValueError(
        f"{where}: found the verdict {text.strip()!r}; expected nothing or one of "
        f"{', '.join(_WORDS)}.{suggest(word, ('keep', 'drop', 'relabel'))} Correct it."
    )


def whole_path(path: str | Path) -> str:
    """Returns a path from the root on, without `..`; links are left as they are."""
    return os.path.normpath(Path(path).absolute())


def data_folder(data_dir: str | None) -> Path | None:
    """Returns the folder that the paths of findings are relative to.

    Args:
        data_dir: A folder, or a file in it; None where the data set needs neither.
    """
    if data_dir is None:
        return None
    path = Path(data_dir).expanduser()
    return path if path.is_dir() else path.parent
