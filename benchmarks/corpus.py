"""Our decoding of a folder of images against Pillow's, by kind.

    python -m benchmarks.corpus DIR [--tolerance 0] [--shown 10]

Ours runs in a process of its own, so that a file that crashes it is a row of the table
and not the end. Pillow's is upright and in RGB, alpha dropped, as ours is. Written into
a file or a pipe, the tables are Markdown.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rich.table import Table

from benchmarks.decoding import CrashedError, DecodingProcess, Pixels, RefusedError
from benchmarks.timing import print_machine
from dce_tf.images.file_kinds import HEAD_BYTES, unread_kind
from dce_tf.images.pillow import UNREADABLE

OUTCOMES = {
    "agree": "both decode it, to the same pixels",
    "differ": "both decode it, to other pixels",
    "only Pillow": "ours refuses it",
    "only ours": "Pillow refuses it",
    "neither": "both refuse it",
    "crash": "ours ended its process",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What became of one file.

    Attributes:
        path: The file.
        kind: Its format as Pillow names it, with the mode of its pixels; `-` for what
            Pillow does not open.
        outcome: One of `OUTCOMES`.
        detail: How large the difference is, or what was said.
        size: The mean absolute difference, 0 to 255; infinite for other sides.
    """

    path: Path
    kind: str
    outcome: str
    detail: str = ""
    size: float = 0.0


def read_with_pillow(data: bytes) -> tuple[str, Pixels | None]:
    """Returns the kind of a file, and its pixels; None if Pillow refuses it."""
    kind = unread_kind(data[:HEAD_BYTES]) or "-"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                kind = f"{image.format} {image.mode}"
                if getattr(image, "n_frames", 1) > 1:
                    kind += " animated"
                upright = ImageOps.exif_transpose(image)
                return kind, np.asarray(upright.convert("RGB"))
    except UNREADABLE:
        return kind, None


def compare(path: Path, process: DecodingProcess, tolerance: int) -> Finding:
    """Decodes a file both ways.

    Args:
        path: The file.
        process: Decodes ours.
        tolerance: Up to which difference in any value the two agree.
    """
    data = path.read_bytes()
    kind, expected = read_with_pillow(data)
    try:
        decoded = process.decode(data)
    except CrashedError as crash:
        return Finding(path, kind, "crash", str(crash))
    except RefusedError as refusal:
        outcome = "neither" if expected is None else "only Pillow"
        return Finding(path, kind, outcome, str(refusal))
    if expected is None:
        return Finding(path, kind, "only ours")
    if decoded.shape != expected.shape:
        sides = [f"{each.shape[1]} × {each.shape[0]}" for each in (decoded, expected)]
        return Finding(
            path, kind, "differ", f"{sides[0]}, Pillow {sides[1]}", float("inf")
        )
    apart = np.abs(decoded.astype(np.int16) - expected)
    if apart.max(initial=0) <= tolerance:
        return Finding(path, kind, "agree")
    mean = float(apart.mean())
    return Finding(path, kind, "differ", f"mean {mean:.2f}, most {apart.max()}", mean)


def findings(folder: Path, tolerance: int) -> Iterator[Finding]:
    """Yields what becomes of each file below a folder, in sorted order."""
    with DecodingProcess() as process:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            yield compare(path, process, tolerance)


def as_table(found: Sequence[Finding]) -> Table:
    """Returns how many files there are, by kind and outcome."""
    counts = collections.Counter((each.kind, each.outcome) for each in found)
    table = Table(title="Files by what becomes of them")
    table.add_column("kind")
    for outcome in OUTCOMES:
        table.add_column(outcome, justify="right")
    kinds = sorted({each.kind for each in found})
    for kind in kinds:
        table.add_row(kind, *(str(counts[kind, outcome]) for outcome in OUTCOMES))
    totals = collections.Counter(each.outcome for each in found)
    table.add_row("all", *(str(totals[outcome]) for outcome in OUTCOMES))
    return table


def worst(found: Sequence[Finding], shown: int) -> list[Finding]:
    """Returns crashes, then the largest differences, then what only ours refuses."""
    order = ["crash", "differ", "only Pillow"]
    matter = [each for each in found if each.outcome in order]
    matter.sort(key=lambda each: (order.index(each.outcome), -each.size))
    return matter[:shown]


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tolerance", type=int, default=0)
    parser.add_argument("--shown", type=int, default=10)
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder.")
    found = list(findings(arguments.folder, arguments.tolerance))
    print_machine(as_table(found))
    details = Table(title="What matters most")
    for column in ("file", "kind", "outcome", "detail"):
        details.add_column(column)
    for each in worst(found, arguments.shown):
        name = str(each.path.relative_to(arguments.folder))
        details.add_row(name, each.kind, each.outcome, each.detail)
    print_machine(details)


if __name__ == "__main__":
    main()
