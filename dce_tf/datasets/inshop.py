"""In-Shop Clothes Retrieval (DeepFashion; Liu et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dce_tf.base.registry import suggest
from dce_tf.datasets import DATASETS
from dce_tf.datasets.checks import build_splits, check_counts
from dce_tf.datasets.listing import Listing, clean_path, read_text, require_data_dir
from dce_tf.datasets.splits import Splits

HEADER = ("image_name", "item_id", "evaluation_status")
LIST_FILE = "list_eval_partition.txt"
STATUSES = ("train", "query", "gallery")

_CONTENT = f"the In-Shop folder, with Eval/{LIST_FILE} and img/ or Img/img/"
_COUNTS = {
    "images by line 1": 52_712,
    "train images": 25_882,
    "train classes": 3_997,
    "query images": 14_218,
    "gallery images": 12_612,
    "test classes": 3_985,
}


@DATASETS.register("inshop")
def read_inshop(data_dir: str | None, allow_partial_data: bool = False) -> Splits:
    """Reads In-Shop as its authors publish it.

    Args:
        data_dir: The folder that holds `list_eval_partition.txt`, in `Eval/` or not,
            and `img/`, in `Img/` or not; or the folder above it.
        allow_partial_data: Whether counts may differ from the published ones.

    Raises:
        UsageError: If `data_dir` is not given.
        ValueError: If the files are not there or not of the format.
    """
    root = require_data_dir(data_dir, "inshop", _CONTENT)
    base, path = _find_list(root)
    images = _find_images(base)
    listings, claimed = _read_list(path, images)
    found = {
        "images by line 1": claimed,
        "lines of images": sum(map(len, listings.values())),
        **{f"{status} images": len(listings[status]) for status in STATUSES},
        "train classes": len(set(listings["train"].names)),
        "test classes": len({*listings["query"].names, *listings["gallery"].names}),
    }
    warnings = check_counts(
        path,
        found,
        {**_COUNTS, "lines of images": claimed},
        allow_partial_data=allow_partial_data,
    )
    return build_splits(
        path, listings, recall_at=(1, 10, 20, 30, 40, 50), warnings=warnings
    )


def _find_list(root: Path) -> tuple[Path, Path]:
    """Returns the folder that is the data set, and its list file."""
    for base in _bases(root):
        for path in (base / "Eval" / LIST_FILE, base / LIST_FILE):
            if path.is_file():
                return base, path
    raise ValueError(
        f"{root}: found no {LIST_FILE}; expected {_CONTENT}. Correct --data_dir or "
        "download the file."
    )


def _bases(root: Path) -> Iterator[Path]:
    yield root
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    for folder in folders:
        if folder.name.lower().startswith(("in-shop", "inshop")) or len(folders) == 1:
            yield folder


def _find_images(base: Path) -> Path:
    """Returns the folder that image names start from."""
    for folder in (base / "Img", base):
        if (folder / "img").is_dir():
            return folder
    raise ValueError(
        f"{base}: found neither Img/img/ nor img/; expected the unpacked images in one "
        "of them. Unpack img.zip there."
    )


def _read_list(path: Path, images: Path) -> tuple[dict[str, Listing], int]:
    """Returns the images by status, and how many line 1 says there are."""
    lines = read_text(path, "the In-Shop partition list").split("\n")
    claimed = _check_head(path, lines)
    listings = {status: Listing() for status in STATUSES}
    for number, line in enumerate(lines[2:], start=3):
        fields = line.split()
        if not fields:
            continue
        where = f"{path}, line {number}"
        if len(fields) != len(HEADER):
            raise ValueError(
                f"{where}: found {len(fields)} fields; expected {len(HEADER)}: "
                f"{' '.join(HEADER)}. Download the file again."
            )
        name, item, status = fields
        if status not in listings:
            raise ValueError(
                f"{where}: found status {status!r}; expected one of "
                f"{', '.join(STATUSES)}.{suggest(status, STATUSES)} Correct it."
            )
        listings[status].add(f"{images}/{clean_path(name, where)}", item, number)
    return listings, claimed


def _check_head(path: Path, lines: list[str]) -> int:
    """Returns the number of images that line 1 gives."""
    first = lines[0].strip()
    if not first.isdecimal():
        raise ValueError(
            f"{path}, line 1: found {first!r}; expected the number of images. "
            "Download the file again."
        )
    header = lines[1].split() if len(lines) > 1 else []
    if tuple(header) != HEADER:
        raise ValueError(
            f"{path}, line 2: found header {' '.join(header)!r}; expected "
            f"{' '.join(HEADER)!r}. Download the file again."
        )
    return int(first)
