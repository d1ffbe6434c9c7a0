"""Builds an index from embeddings."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.commands.selecting import cached_path_of, path_of
from dce_tf.export.calibration import find_calibration
from dce_tf.hub.address import is_on_hub
from dce_tf.index import build_collection
from dce_tf.index.calibration import Calibration
from dce_tf.index.embeddings import (
    Header,
    Part,
    check_folder,
    count_classes,
    count_records,
    read_records,
)
from dce_tf.index.kinds import check_kind
from dce_tf.index.maps import MapPlan
from dce_tf.index.milvus import conditions as milvus
from dce_tf.index.postgres import address as postgres
from dce_tf.record import format_seconds
from dce_tf.reports.display import Display

Make = Callable[[Path, MapPlan | None, Mapping[str, Any]], tuple[str, str]]


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Makes the index."""
    if len(arguments) != 1:
        raise UsageError(
            f"Expected one folder of embeddings, received {len(arguments)}."
        )
    folder, display = Path(arguments[0]), Display()
    check_kind(settings["kind"])
    plan = None
    if settings["map"] != "none":
        plan = MapPlan(
            settings["map"], settings["map_points"], settings["map_clusters"]
        )
    started = time.perf_counter()
    make = _home(settings)
    header, _ = check_folder(folder)
    calibration = _calibration(header, settings["calibration"])
    where, made = make(folder, plan, {**settings, "calibration": calibration})
    seconds = format_seconds(time.perf_counter() - started)
    display.note(f"{made}, in {seconds}.")
    display.note(_meaning(calibration))
    display.note(f"Written: {where}")
    model = _source_of(header.model)
    display.try_next(
        f"{PROGRAM} search {shlex.quote(where)} PHOTO.jpg",
        f"{PROGRAM} serve {shlex.quote(model)} --index={shlex.quote(where)}",
    )
    return 0


def _source_of(model: str) -> str:
    """Returns what `serve` is told of the model that made embeddings.

    Args:
        model: The folder of its version; empty if it is not known.
    """
    if not model or is_on_hub(model):
        return model or "MODEL"
    version = Path(model)
    run = version.parents[1] if len(version.parts) > 2 else version
    return str(_from_here(run if (run / "config.json").is_file() else version))


def _from_here(path: Path) -> Path:
    """Returns a path as it is typed in this folder, if it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _home(settings: Mapping[str, Any]) -> Make:
    """Returns what makes an index in the place that the flags name."""
    homes: dict[str, Make] = {
        "output_dir": _make_directory,
        "milvus": _make_in_milvus,
        "postgres": _make_in_postgres,
    }
    given = [name for name in homes if settings[name] is not None]
    if len(given) > 1:
        raise UsageError(
            f"{' and '.join(f'--{name}' for name in given)} do not go together. Pass "
            "one."
        )
    return homes[given[0] if given else "output_dir"]


def _make_directory(
    folder: Path, plan: MapPlan | None, settings: Mapping[str, Any]
) -> tuple[str, str]:
    header, parts = check_folder(folder)
    beside = _from_here(folder.resolve().with_name("index"))
    output = Path(settings["output_dir"] or beside)
    manifest = build_collection(
        output,
        read_records(folder, parts),
        name=settings["name"],
        map_plan=plan,
        places=header.places or None,
        **_common(folder, header, parts, settings),
    )
    looks = ", with places for a second look" if manifest.places else ""
    return str(output), f"{manifest.count} images, {manifest.built_as}{looks}"


def _make_in_milvus(
    folder: Path, plan: MapPlan | None, settings: Mapping[str, Any]
) -> tuple[str, str]:
    # Only those who use Milvus need its library.
    from dce_tf.index.milvus.building import build_milvus

    address = milvus.Address.parse(
        f"{milvus.PREFIX}{settings['milvus']}#{settings['name'] or ''}"
    )
    header, parts = check_folder(folder)
    stored = build_milvus(
        address,
        read_records(folder, parts),
        count=count_records(folder, parts),
        map_plan=plan,
        **_common(folder, header, parts, settings),
    )
    return str(address), f"{stored} images, {settings['kind']}"


def _make_in_postgres(
    folder: Path, plan: MapPlan | None, settings: Mapping[str, Any]
) -> tuple[str, str]:
    # Only those who use PostgreSQL need its client.
    from dce_tf.index.postgres.building import build_postgres

    address = postgres.Address.parse(
        f"{postgres.PREFIX}{settings['postgres']}#{settings['name'] or ''}"
    )
    header, parts = check_folder(folder)
    stored, kind = build_postgres(
        address,
        read_records(folder, parts),
        count=count_records(folder, parts),
        map_plan=plan,
        **_common(folder, header, parts, settings),
    )
    return str(address), f"{stored} images, {kind}"


def _common(
    folder: Path, header: Header, parts: Sequence[Part], settings: Mapping[str, Any]
) -> dict[str, Any]:
    calibration: Calibration | None = settings["calibration"]
    return {
        "fingerprint": header.fingerprint,
        "embedding_dim": header.embedding_dim,
        "kind": settings["kind"],
        "model": header.model,
        "image_root": settings["image_root"] or header.image_root or None,
        "calibration": calibration
        and calibration.for_images(*count_classes(folder, parts)),
        "overwrite": settings["overwrite"],
    }


def _calibration(header: Header, named: str | None) -> Calibration | None:
    """Returns what the scores of embeddings mean, if their model says so."""
    if not (named or header.model):
        return None
    found = find_calibration(path_of(named) if named else _model_of(header))
    if named is None:
        # What lies there now may be another model.
        alike = found is not None and found.fingerprint == header.fingerprint
        return found if alike else None
    if found is None:
        raise UsageError(
            f"--calibration={named}: found none there; expected a calibrated run or an "
            f"exported version of one. `{PROGRAM} calibrate RUN` makes it."
        )
    if found.fingerprint != header.fingerprint:
        raise ValueError(
            f"--calibration={named} is of the model {found.fingerprint}, and the "
            f"embeddings are of {header.fingerprint}; what scores mean differs from "
            "model to model. Name the run that the embeddings are of, or embed again "
            "with this one."
        )
    return found


def _model_of(header: Header) -> Path:
    """Returns where the model of embeddings lies; of the Hub's only what was fetched.

    Embeddings may be a stranger's, who is not to choose what is fetched.
    """
    if not is_on_hub(header.model):
        return Path(header.model)
    try:
        return cached_path_of(header.model)
    except ValueError as error:
        raise UsageError(
            f"The embeddings are of {header.model}, which is not in the cache. Pass "
            f"--calibration={header.model}, which fetches it."
        ) from error


def _meaning(calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            "Scores have no probabilities, as nobody has calibrated the model: "
            f"`{PROGRAM} calibrate RUN`, then index again with --calibration=RUN."
        )
    low, high = calibration.far_interval
    return (
        f"Scores have probabilities. From {calibration.threshold:.4f} on, {low:.2g} to "
        f"{high:.2g} of the pairs of two classes are taken for one, in 9 of 10 cases."
    )
