"""Writes the README as a package index can show it; all else is in pyproject.toml.

An index shows the text without the files beside it. Links and pictures that are
relative to the README become addresses in the repository that `[project.urls]` of
pyproject.toml names; while it names none, they become their text alone.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s]+)\)")


def describe(readme: str, repository: str | None) -> str:
    """Returns the README with every link absolute.

    Args:
        readme: Its Markdown.
        repository: Address of the public repository, or None if there is none yet.
    """

    def absolute(found: re.Match[str]) -> str:
        picture, text, path = found["picture"], found["text"], found["path"]
        if re.match(r"https?://|mailto:|#", path):
            return found[0]
        if repository is None:
            return f"*{text}*" if picture else text
        kind = "raw" if picture else "blob"
        return f"{picture}[{text}]({repository.rstrip('/')}/{kind}/main/{path})"

    return _LINK.sub(absolute, readme)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    setup(
        long_description=describe(
            (ROOT / "README.md").read_text("utf-8"),
            project.get("urls", {}).get("Repository"),
        ),
        long_description_content_type="text/markdown",
    )
