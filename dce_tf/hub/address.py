"""Addresses of the Hugging Face Hub: `hf://user/name@revision`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from dce_tf.base.errors import UsageError

EXPECTED = "expected hf://user/name, or hf://user/name@revision"

# `Path` makes one slash of two.
_BEGINS = re.compile(r"hf:/")
_WORD = r"[A-Za-z0-9_](?:[\w.-]*\w)?"
_ADDRESS = re.compile(
    rf"hf:/{{1,2}}(?P<repo>{_WORD}/{_WORD})(?:@(?P<revision>\w[\w./-]*))?/?", re.ASCII
)
_FORBIDDEN = ("--", "..", "//")  # In names and revisions; the Hub has none of them.
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CACHED = "models--"


@dataclasses.dataclass(frozen=True)
class HubAddress:
    """A model repository, at some revision.

    Attributes:
        repo: `user/name`.
        revision: A branch, a tag or a commit; None for the newest.
    """

    repo: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubAddress:
        """Reads an address of the command line.

        Raises:
            UsageError: If it names no repository.
        """
        found = _ADDRESS.fullmatch(text)
        repo, revision = found.groups() if found else ("", None)
        if not repo or any(each in f"{repo}@{revision}" for each in _FORBIDDEN):
            raise UsageError(
                f"{text}: {EXPECTED}, with names of letters, digits, '.', '_' and '-'."
            )
        return cls(repo, revision)

    @property
    def name(self) -> str:
        """The name without its owner."""
        return self.repo.partition("/")[2]

    def __str__(self) -> str:
        return f"hf://{self.repo}" + (f"@{self.revision}" if self.revision else "")


def is_on_hub(source: str | Path) -> bool:
    """Returns whether what a user names is an address of the Hub."""
    return bool(_BEGINS.match(str(source)))


def name_of(path: Path) -> str:
    """Returns what to call a folder: its address if it is a copy of the Hub's.

    A copy in the client's cache is of one commit, which its path names. An address is
    good on another machine, too.
    """
    *_, repo, snapshots, commit = ("", "", "", *path.parts)
    if (
        snapshots == "snapshots"
        and repo.startswith(_CACHED)
        and _COMMIT.fullmatch(commit)
    ):
        return str(HubAddress(repo.removeprefix(_CACHED).replace("--", "/"), commit))
    return str(path)
