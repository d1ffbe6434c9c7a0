"""Embeds images and prints what is nearest to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from dce_tf.base.errors import UsageError
from dce_tf.commands.selecting import cached_path_of, path_of
from dce_tf.export.versions import resolve_version
from dce_tf.hub.address import is_on_hub
from dce_tf.index import Collection, check_model, open_collection
from dce_tf.index.collection import Hit
from dce_tf.index.decisions import Answer, calibration_of
from dce_tf.index.pictures import MOST_PIXELS
from dce_tf.reports.display import Display
from dce_tf.reports.hits_sheet import plot_hits
from dce_tf.reports.match_sheet import plot_matches
from dce_tf.reports.tables import print_table
from dce_tf.retrieval.rerankers import RERANKERS
from dce_tf.retrieval.rerankers.local import Local
from dce_tf.retrieval.second_look import check_codes, look_again

if TYPE_CHECKING:
    from dce_tf.export.served import ServedModel


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Searches."""
    paths = [*arguments[1:], *settings["images"]]
    if not paths:
        raise UsageError("Expected an index and image files: search INDEX PHOTO.jpg")
    where, least = _filter(settings["filter"]), settings["min_probability"]
    if least is not None and not 0 <= least <= 1:
        raise UsageError(f"--min_probability={least:g}: expected a number, 0 to 1.")
    sheet = Path(settings["sheet"]) if settings["sheet"] else None
    collection = open_collection(arguments[0], read_only=True)
    try:
        calibration = collection.calibration
        if least is not None:
            calibration = calibration_of(collection)
        _check_images(paths)
        model = _model(settings["run"], collection)
        check_model(collection, model.fingerprint, arguments[0])
        found = _found(settings, collection, model, paths, where)
        # What a second look puts behind may be what is probable.
        judged = [Answer.of(hits, calibration, least) for hits in found]
        answers = [each.first(settings["k"]) for each in judged]
        found = [list(answer.hits) for answer in answers]
        if settings["explain"]:
            from dce_tf.commands.explaining import EXPLAINED, explain_hits

            sheet = sheet or Path(EXPLAINED)
            plot_matches(paths, explain_hits(model, collection, paths, found), sheet)
        elif sheet:
            plot_hits(paths, found, collection.thumbnail, sheet)
    finally:
        collection.close()
    if settings["json"]:
        print(json.dumps(_as_json(paths, answers), indent=2))
        return 0
    print_table(_as_table(paths, answers, calibrated=calibration is not None))
    if sheet:
        Display().note(f"Written: {sheet}")
    return 0


def _found(
    settings: Mapping[str, Any],
    collection: Collection,
    model: ServedModel,
    paths: Sequence[str],
    where: Any,
) -> list[list[Hit]]:
    k = settings["k"]
    if settings["rerank"] is None:
        return collection.search(model.embeddings(paths), k, where)
    look = RERANKERS.build(settings["rerank"])
    if not isinstance(look, Local):
        raise UsageError(
            f"--rerank={settings['rerank']}: a search takes local, or none. Others are "
            "for `evaluate`."
        )
    check_codes(collection.place_codes, model.place_codes)
    vectors, places = model.looks(paths)
    found = collection.search(vectors, max(k, look.top), where)
    return [
        look_again(look, collection, own, hits)
        for own, hits in zip(places, found, strict=True)
    ]


def _filter(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise UsageError(
            f'--filter={text}: expected JSON such as \'{{"label": "x"}}\', with the '
            f"quotes of the shell around it ({error})."
        ) from error


def _check_images(paths: Sequence[str]) -> None:
    # What is wrong with the words or the index is said before TensorFlow is loaded.
    from dce_tf.images.scan import find_broken

    for path, problem in find_broken(paths, max_pixels=MOST_PIXELS).items():
        raise ValueError(f"{path}: {problem}")


def _model(named: str | None, collection: Collection) -> ServedModel:
    from dce_tf.export.served import ServedModel

    if named:
        return ServedModel(resolve_version(path_of(named)))
    path = collection.describe()["model"]
    try:
        return ServedModel(resolve_version(cached_path_of(path)))
    except ValueError as error:
        raise UsageError(
            f"The model that the index was made with is not at {path or 'any place'}"
            f"{', or was not fetched from there yet' if is_on_hub(path) else ''}. Pass "
            f"--run{f'={path}' if is_on_hub(path) else ''}."
        ) from error


def _as_json(paths: Sequence[str], answers: Sequence[Answer]) -> list[dict[str, Any]]:
    return [
        {"image": path, **answer.as_json()}
        for path, answer in zip(paths, answers, strict=True)
    ]


def _as_table(
    paths: Sequence[str], answers: Sequence[Answer], *, calibrated: bool
) -> Table:
    table = Table()
    figures = ("score", "probability") if calibrated else ("score",)
    for heading in ("image", "rank", *figures, "id", "label", "metadata"):
        justify: Any = "right" if heading in ("rank", *figures) else "left"
        table.add_column(heading, justify=justify)
    for path, answer in zip(paths, answers, strict=True):
        if answer.unknown:
            table.add_row(escape(path), "unknown", end_section=not answer.hits)
        for rank, hit in enumerate(answer.hits, start=1):
            known = answer.probabilities
            cells = (
                path if rank == 1 and not answer.unknown else "",
                str(rank),
                f"{hit.score:.4f}",
                *([f"{known[rank - 1]:.4f}"] if known is not None else []),
                str(hit.id),
                hit.label or "",
                ", ".join(f"{name}={value}" for name, value in hit.metadata.items()),
            )
            is_last = rank == len(answer.hits)
            table.add_row(*map(escape, cells), end_section=is_last)
    return table
