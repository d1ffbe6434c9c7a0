"""Where exported versions lie: one folder each, named 1, 2, …."""

from __future__ import annotations

from pathlib import Path

from dce_tf.base.program import PROGRAM

REMEDY = f"`{PROGRAM} export RUN` writes one."


def versions(folder: Path) -> list[int]:
    """Returns the versions exported to a folder so far, in rising order."""
    names = (
        [path.name for path in folder.iterdir() if path.is_dir()]
        if folder.is_dir()
        else []
    )
    return sorted(int(name) for name in names if name.isdecimal())


def resolve_version(path: str | Path) -> Path:
    """Returns the folder of one version of a SavedModel.

    Args:
        path: A version, a folder of versions, of which the newest is meant, or a run
            directory, of which the newest of its export/ is meant.

    Raises:
        ValueError: If there is no version there.
    """
    path = Path(path)
    if (path / "saved_model.pb").is_file():
        return path
    folder = path / "export" if (path / "config.json").is_file() else path
    whole = [
        number
        for number in versions(folder)
        if (folder / str(number) / "saved_model.pb").is_file()
    ]
    if whole:
        return folder / str(whole[-1])
    raise ValueError(
        f"{path}: found {_content(folder)}; expected a run directory, a folder of "
        f"versions 1, 2, … or one version with its saved_model.pb. {REMEDY}"
    )


def _content(folder: Path) -> str:
    if folder.is_file():
        return "a file"
    if not folder.is_dir():
        return f"no folder {folder.name}/"
    names = sorted(path.name for path in folder.iterdir())
    listed = ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])])
    return f"{listed} in {folder}" if names else f"nothing in {folder}"
