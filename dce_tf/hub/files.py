"""Which files of a repository are ours: what is written there, and all that is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from dce_tf.export.fingerprint import ASSETS, CARD

GRAPH = "saved_model.pb"
CARD_PATH = f"{ASSETS}/{CARD}"
LABELS_PATH = f"{ASSETS}/labels.txt"
KERAS = "model.keras"
README = "README.md"

_INDEX = "variables/variables.index"
# Names without a path that leads anywhere else, and of nothing that holds a pickle.
_EXPORT = re.compile(
    r"saved_model\.pb|fingerprint\.pb"
    r"|variables/variables\.(index|data-\d{5}-of-(?P<shards>\d{5}))"
    r"|assets/\w[\w.-]*"
    rf"|{re.escape(ASSETS)}/(model_card\.json|labels\.txt|tf_serving_warmup_requests)",
    re.ASCII,
)


def names_in(folder: Path) -> list[str]:
    """Returns all files of a folder, relative to it."""
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    ]


def files_of_export(names: Iterable[str]) -> list[str]:
    """Returns which files are those of an exported version, relative to it, sorted."""
    return sorted(name for name in names if _EXPORT.fullmatch(name))


def missing_files(names: Iterable[str]) -> list[str]:
    """Returns which files of a whole exported version are not there.

    Args:
        names: Files that are there, relative to it.
    """
    there = set(names)
    found = [_EXPORT.fullmatch(name) for name in there]
    count = max((int(each["shards"] or 1) for each in found if each), default=1)
    shards = (f"variables/variables.data-{n:05d}-of-{count:05d}" for n in range(count))
    wanted = [GRAPH, CARD_PATH, _INDEX, *shards]
    return [name for name in wanted if name not in there]
