"""Pages, help, docstrings, comments and messages read as a native writer has them.

What is found here was once written. A new habit is one line in `HABITS`.
"""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("benchmarks", "docs", "dce_tf", "examples", "launch", "serving", "tests")
KINDS = (".flags", ".ipynb", ".md", ".py", ".yaml", ".yml")
# History, and this file, which names the habits.
LEFT_OUT = ("CHANGELOG.md", "tests/test_english.py")

COUNTED = (
    "actor|bytes|centres|classes|entries|epochs|files?|folder|hits|images|labels|lines?"
    "|loader|MB|milliseconds|ms|neighbours|numbers|pairs|parts|pixels|points|queries"
    "|records|requests|rows?|rule|seconds|steps|sub-folder|task|test|threads"
    "|values|vectors|SavedModel"
)
UNITS = (
    "actor|batch|class|cluster|division|embedding|epoch|file|function|GPU|image|learner"
    "|list|machine|part|process|query|request|run|search|seed|signature|split"
    "|step|thread|vector|vehicle|version|worker"
)
VERBS = "asks|can|had|has|holds|is|keeps|lies|may|needs|takes|was|wants|wins"

# What is looked for, regardless of case, and what to write in its place.
HABITS = {
    rf"\b({COUNTED}) an? ({UNITS})\b(?! ({VERBS})\b)": "images per cluster",
    r"\b(bytes|images|requests|steps|vectors) a second\b": "images per second",
    r"\banew\b": "again; from scratch",
    r"\blikewise\b": "the same; in the same way; also",
    r"\bso many\b": "this many; as many; N",
    r"\bwhat (has|have)\b(?! (be|ha)\w+\b)": "images that have; what … is computed on",
    r"\bof (its|their|his) own for each\b": "a separate … for each",
    r"\bas it stands\b": "unchanged",
    r"\bin the mean\b": "on average",
    r"\b(stands?|stood) still\b": "converges; does not change",
    r"\btrains? (truly )?still\b": "does not change",
    r"\bfrom (zero|one|two|five|\d+) (\w+ )?on\b": "of 1 or more; with five or more",
    r"\bso (does|do|is|are) a \w+\.": "a tie does, too",
    r"\bso it is with\b": "the same holds for",
    r"\bever (slower|faster|larger|smaller)\b": "slows down; grows",
    r"\bof even number\b": "with an even number",
    r"\bhas the query's group out\b": "images of the query's group",
    r"\bwith the features of now\b": "with the features at that time",
    r"\bin no time at all\b": "at once",
    r"\bbesides\.": "too; also",
    r"\b(is|are|was|were) told (at|by|in|only|relative|with|without)\b": "reported",
    r"\bplain default\b": "the default that --help shows",
}


def pages() -> list[Path]:
    """Returns the files to be read: those in folders, and those beside them."""
    found = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    found += ROOT.glob("*")
    return sorted(
        path
        for path in found
        if path.suffix in KINDS and path.relative_to(ROOT).as_posix() not in LEFT_OUT
    )


def pieces(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the line and the text of what people read: of a program, no code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield 1, re.sub(r"^ *#", "  ", text, flags=re.MULTILINE)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        if isinstance(node, ast.JoinedStr):
            parts = (getattr(part, "value", "") for part in node.values)
            yield node.lineno, "".join(p if isinstance(p, str) else "…" for p in parts)
    comments = [
        (token.start[0], token.string.lstrip("# "))
        for token in tokenize.generate_tokens(iter(text.splitlines(True)).__next__)
        if token.type == tokenize.COMMENT
    ]
    if comments:
        yield comments[0][0], "\n".join(text for _, text in comments)


def habits_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yields how many lines into the text a habit begins, the words, and the remedy."""
    for pattern, better in HABITS.items():
        spaced = pattern.replace(" ", r"\s+")
        for found in re.finditer(spaced, text, flags=re.IGNORECASE):
            yield text[: found.start()].count("\n"), " ".join(found[0].split()), better


@pytest.mark.parametrize("folder", [*FOLDERS, "."])
def test_pages_have_none_of_our_habits(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line + down}: {words!r}; write: {better}"
        for path in pages()
        if path.relative_to(ROOT).parts[0] == folder
        or (folder == "." and path.parent == ROOT)
        for line, text in pieces(path)
        for down, words, better in habits_in(text)
    }
    assert not found, "\n" + "\n".join(sorted(found))


@pytest.mark.parametrize(
    "text",
    [
        "Images a cluster",
        "a line an\nepoch",
        "For so many epochs",
        "Download it anew.",
        "Likewise.",
        "takes what has the query's group out of its search",
        "a virtual environment of its own for each",
    ],
)
def test_habits_are_found(text: str) -> None:
    assert list(habits_in(text))


@pytest.mark.parametrize(
    "text",
    [
        "images per cluster",
        "ten times a second",
        "pixels an image has",
        "what had been",
    ],
)
def test_good_english_is_left_alone(text: str) -> None:
    assert not list(habits_in(text))
