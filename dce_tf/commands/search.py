"""Find the images most like others: `search INDEX PHOTO.jpg …`.

INDEX is what `index` made, a directory or milvus:URI#NAME. The images are embedded with
the model that the index was made with, or that of --run: a run directory, a folder of
exported versions or one version.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags
from rich.markup import escape
from rich.table import Table

from dce_tf.errors import UsageError
from dce_tf.export import resolve_version
from dce_tf.export.served import ServedModel
from dce_tf.index import Collection, Hit, check_model, open_collection
from dce_tf.index.pictures import MOST_PIXELS
from dce_tf.reports.hits_sheet import plot_hits
from dce_tf.reports.tables import print_table
from dce_tf.runs.selecting import define_run_flag
from dce_tf.scan import find_broken
from dce_tf.training.display import Display

Hits = Sequence[Sequence[Hit]]


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    flags.DEFINE_list("images", [], "Image files, as words too.", flag_values=values)
    flags.DEFINE_integer(
        "k", 10, "How many to find.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_string(
        "filter",
        None,
        'Only among these: JSON such as \'{"label": "x", "price": {"$lt": 5}}\'.',
        flag_values=values,
    )
    flags.DEFINE_string(
        "sheet", None, "Draw what was found into this PNG.", flag_values=values
    )
    flags.DEFINE_bool("json", False, "Print as JSON.", flag_values=values)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Searches."""
    paths = [*arguments[1:], *settings["images"]]
    if not paths:
        raise UsageError("Expected an index and image files: search INDEX PHOTO.jpg")
    where = _filter(settings["filter"])
    _check_images(paths)
    sheet = Path(settings["sheet"]) if settings["sheet"] else None
    collection = open_collection(arguments[0], read_only=True)
    try:
        model = _model(settings["run"], collection)
        check_model(collection, model.fingerprint, arguments[0])
        found = collection.search(model.embeddings(paths), settings["k"], where)
        if sheet:
            plot_hits(paths, found, collection.thumbnail, sheet)
    finally:
        collection.close()
    if settings["json"]:
        print(json.dumps(_as_json(paths, found), indent=2))
        return 0
    print_table(_as_table(paths, found))
    if sheet:
        Display().note(f"Written: {sheet}")
    return 0


def _filter(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise UsageError(
            f'--filter={text}: expected JSON such as \'{{"label": "x"}}\', with the '
            f"quotes of the shell around it ({error})."
        ) from error


def _check_images(paths: Sequence[str]) -> None:
    for path, problem in find_broken(paths, max_pixels=MOST_PIXELS).items():
        raise ValueError(f"{path}: {problem}")


def _model(named: str | None, collection: Collection) -> ServedModel:
    if named:
        return ServedModel(resolve_version(Path(named)))
    path = collection.describe()["model"]
    try:
        return ServedModel(resolve_version(Path(path)))
    except ValueError as error:
        raise UsageError(
            f"The model that the index was made with is not at {path or 'any place'}. "
            "Pass --run."
        ) from error


def _as_json(paths: Sequence[str], found: Hits) -> list[dict[str, Any]]:
    return [
        {"image": path, "hits": [dataclasses.asdict(hit) for hit in hits]}
        for path, hits in zip(paths, found, strict=True)
    ]


def _as_table(paths: Sequence[str], found: Hits) -> Table:
    table = Table()
    for heading in ("image", "rank", "score", "id", "label", "metadata"):
        justify: Any = "right" if heading in ("rank", "score") else "left"
        table.add_column(heading, justify=justify)
    for path, hits in zip(paths, found, strict=True):
        for rank, hit in enumerate(hits, start=1):
            cells = (
                path if rank == 1 else "",
                str(rank),
                f"{hit.score:.4f}",
                str(hit.id),
                hit.label or "",
                ", ".join(f"{name}={value}" for name, value in hit.metadata.items()),
            )
            table.add_row(*map(escape, cells), end_section=rank == len(hits))
    return table
