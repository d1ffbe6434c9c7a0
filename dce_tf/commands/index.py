"""Make an index to search in from embeddings: `index EMBEDDINGS`.

EMBEDDINGS is the folder that `embed` wrote, all shards of it. The index is a directory,
beside it or --output_dir, for `search` and `serve`; with --milvus=URI it is a
collection of a Milvus server, or of Milvus Lite where URI is a file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf.errors import UsageError
from dce_tf.index import build_collection
from dce_tf.index.embeddings import (
    Header,
    check_folder,
    count_records,
    read_records,
)
from dce_tf.index.kinds import KINDS, check_kind
from dce_tf.index.maps import METHODS, MapPlan
from dce_tf.index.milvus.terms import Address
from dce_tf.training.display import Display, format_seconds


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    for name, default, text in (
        ("output_dir", None, "Where to write; default: `index` beside EMBEDDINGS."),
        ("name", None, "What clients call it; default: as the directory."),
        (
            "kind",
            "auto",
            f"How it is searched: {', '.join(KINDS)}, with options: "
            "'hnsw(ef=256)'; 'auto' goes by the number of images.",
        ),
        ("milvus", None, "Write to this Milvus server or file; needs --name."),
        ("image_root", None, "Where the images lie, if they were moved."),
    ):
        flags.DEFINE_string(name, default, text, flag_values=values)
    flags.DEFINE_enum(
        "map",
        "pca",
        [*METHODS, "none"],
        "Map of the gallery in two dimensions; tsne needs scikit-learn.",
        flag_values=values,
    )
    for name, number, text in (
        ("map_points", MapPlan.points, "The most images on the map."),
        ("map_clusters", MapPlan.clusters, "Clusters that colour the map."),
    ):
        flags.DEFINE_integer(name, number, text, lower_bound=1, flag_values=values)
    flags.DEFINE_bool(
        "overwrite", False, "Replace an index that is there.", flag_values=values
    )
    flags.DEFINE_bool(
        "verbose", False, "Show tracebacks and warnings.", flag_values=values
    )


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
    make = _make_directory if settings["milvus"] is None else _make_in_milvus
    where, made = make(folder, plan, settings)
    seconds = format_seconds(time.perf_counter() - started)
    display.note(f"{made}, in {seconds}.")
    display.note(f"Written: {where}")
    display.note(f"Try next:  python main.py search {where} PHOTO.jpg")
    return 0


def _make_directory(
    folder: Path, plan: MapPlan | None, settings: Mapping[str, Any]
) -> tuple[str, str]:
    header, parts = check_folder(folder)
    output = Path(settings["output_dir"] or folder.resolve().with_name("index"))
    manifest = build_collection(
        output,
        read_records(folder, parts),
        name=settings["name"],
        map_plan=plan,
        **_common(header, settings),
    )
    return str(output), f"{manifest.count} images, {manifest.built_as}"


def _make_in_milvus(
    folder: Path, plan: MapPlan | None, settings: Mapping[str, Any]
) -> tuple[str, str]:
    # Only those who use Milvus need its library.
    from dce_tf.index.milvus.building import build_milvus

    if settings["output_dir"]:
        raise UsageError("--milvus and --output_dir do not go together. Pass one.")
    address = Address.parse(f"milvus:{settings['milvus']}#{settings['name'] or ''}")
    header, parts = check_folder(folder)
    stored = build_milvus(
        address,
        read_records(folder, parts),
        count=count_records(folder, parts),
        map_plan=plan,
        **_common(header, settings),
    )
    return str(address), f"{stored} images, {settings['kind']}"


def _common(header: Header, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "fingerprint": header.fingerprint,
        "embedding_dim": header.embedding_dim,
        "kind": settings["kind"],
        "model": header.model,
        "image_root": settings["image_root"] or header.image_root or None,
        "overwrite": settings["overwrite"],
    }
