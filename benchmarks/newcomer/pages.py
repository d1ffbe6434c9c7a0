"""The command lines of the pages, so that what is tried is what they print."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUICK_START = "docs/quickstart.md"
OWN_FOLDER = "docs/tutorials/own-folder.md"
OWN_IDEA = "docs/tutorials/own-idea.md"
DEPLOYMENT = "docs/tutorials/deployment.md"


@dataclasses.dataclass(frozen=True)
class Printed:
    """A command line that a page prints.

    Attributes:
        page: The page, from the root of the checkout.
        start: How the command line begins; no other of the page does.
    """

    page: str
    start: str


COMMANDS = {
    "environment": Printed(QUICK_START, "python3 -m venv"),
    "install": Printed(QUICK_START, "pip install -r requirements-cpu.txt"),
    "quickstart": Printed("README.md", "python main.py quickstart DIR"),
    "try the loss": Printed(OWN_IDEA, "python main.py --plugin=my_ideas.py"),
    "compare": Printed(
        OWN_IDEA, "python main.py sweep --plugin=my_ideas.py --seeds=0 --num_epochs=2"
    ),
    "tensorboard": Printed(OWN_IDEA, "tensorboard"),
    "look": Printed(OWN_FOLDER, "python main.py data"),
    "train": Printed(OWN_FOLDER, "python main.py --profile=best"),
    "calibrate": Printed(OWN_FOLDER, "python main.py calibrate RUN"),
    "build": Printed(DEPLOYMENT, "pip install build"),
    "install wheel": Printed(DEPLOYMENT, 'pip install "dist/'),
    "version": Printed(DEPLOYMENT, "dce-tf --version"),
    "export": Printed(DEPLOYMENT, "dce-tf export RUN"),
    "embed": Printed(DEPLOYMENT, "dce-tf embed RUN"),
    "index": Printed(DEPLOYMENT, "dce-tf index RUN/embeddings"),
    "certificate": Printed(DEPLOYMENT, "openssl req"),
    "serve": Printed(DEPLOYMENT, "dce-tf serve RUN"),
    "ask": Printed(DEPLOYMENT, "python -m dce_tf.serving.client search"),
    "ready": Printed(DEPLOYMENT, "python -m dce_tf.serving.client status"),
}  # fmt: skip
"""What a new user types, by what it is for."""


def command(name: str, **filled: object) -> str:
    """Returns a command line of a page.

    Args:
        name: What it is for, in `COMMANDS`.
        **filled: What stands in the place of a word of the page, such as `RUN`.

    Raises:
        ValueError: If the page does not print it, or more than one like it.
    """
    printed = COMMANDS[name]
    text = (ROOT / printed.page).read_text(encoding="utf-8")
    found = {each for each in command_lines(text) if each.startswith(printed.start)}
    if len(found) != 1:
        raise ValueError(
            f"{printed.page} prints {len(found)} command lines that begin with "
            f"{printed.start!r}; expected one. Mend the page or COMMANDS of "
            "benchmarks/newcomer/pages.py."
        )
    return fill(found.pop(), **filled)


def fill(line: str, **filled: object) -> str:
    """Returns a command line with words filled in."""
    for word, value in filled.items():
        line = re.sub(rf"\b{word}\b", lambda _, v=value: str(v), line)
    return line


def blocks(text: str) -> list[str]:
    """Returns the indented blocks of a page, without the indent."""
    found = re.findall(r"(?:^|(?<=\n\n))((?: {4}.*\n|\n(?= {4}))+)", text)
    return [textwrap.dedent(block).strip("\n") for block in found]


def command_lines(text: str) -> list[str]:
    """Returns the lines of all blocks, each with those that it goes on in."""
    lines = []
    for block in blocks(text):
        lines += re.sub(r" *\\\n *", " ", block).splitlines()
    return lines


def program_of(page: str, with_word: str) -> str:
    """Returns the block of a page that has a word, such as a program in Python.

    Raises:
        ValueError: If not one block has it.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [block for block in blocks(text) if with_word in block]
    if len(found) != 1:
        raise ValueError(f"{page} has {len(found)} blocks with {with_word!r}, not one.")
    return f"{found[0]}\n"
