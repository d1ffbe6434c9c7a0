"""A folder of photographs such as a person has, and some that are not in it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path


def list_classes(images: Path, per_class: int) -> dict[str, list[Path]]:
    """Returns the photographs of each class that has enough, and one more to search by.

    Args:
        images: A folder with a folder for each class.
        per_class: How many of each are wanted.

    Raises:
        ValueError: If no class has enough.
    """
    found = {
        folder.name: sorted(path for path in folder.iterdir() if path.is_file())
        for folder in sorted(images.iterdir())
        if folder.is_dir()
    }
    enough = {name: paths for name, paths in found.items() if len(paths) > per_class}
    if not enough:
        raise ValueError(
            f"{images} has no folder of more than {per_class} photographs; expected a "
            "folder for each class. Give another --images or fewer --per_class."
        )
    return enough


def make_folder(
    classes: dict[str, list[Path]],
    target: Path,
    per_class: int,
    names: Sequence[str] | None = None,
) -> None:
    """Copies photographs into a folder for each class.

    Args:
        classes: As `list_classes` returns them.
        target: Where to.
        per_class: How many of each; the last of a class is never taken.
        names: The classes; all by default.
    """
    for name in classes if names is None else names:
        folder = target / name
        folder.mkdir(parents=True)
        for path in classes[name][: min(per_class, len(classes[name]) - 1)]:
            shutil.copy(path, folder / path.name)
