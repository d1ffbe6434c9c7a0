"""What a doctor looks at: the images that a command line names, embedded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.datasets.labels import load_npy
from dce_tf.datasets.verdicts import data_folder, whole_path
from dce_tf.doctor.population import Population
from dce_tf.embedding.image_list import Inputs
from dce_tf.embedding.parquet_list import list_images
from dce_tf.images.scan import find_broken
from dce_tf.index.embeddings import (
    check_folder,
    find_lists_of_bad,
    find_parts,
    read_bad,
    read_records,
)
from dce_tf.reports.display import Display
from dce_tf.retrieval.vectors import Numbers, check_vectors
from dce_tf.runs import devices
from dce_tf.runs.loading import read_splits
from dce_tf.runs.opening import open_source
from dce_tf.runs.plain import plain_config
from dce_tf.runs.sources import config_for, find_source
from dce_tf.training.pipelines import FileReader

_UNNAMED = "images"  # The split of images that are in none.


@dataclasses.dataclass(frozen=True, eq=False)
class Examined:
    """What is to be examined.

    Attributes:
        population: The images.
        embeddings: Of each, real numbers `(num_images, dim)`.
        config: The settings.
        splits: The data set; None of images that are in none.
        broken: Images that have no embedding, and why.
        root: Folder that paths are shown relative to; None shows them whole.
        run: The run directory, or None.
    """

    population: Population
    embeddings: Numbers
    config: Config
    splits: Splits | None
    broken: Mapping[str, str]
    root: Path | None
    run: Path | None = None


def open_examined(
    path: Path, given: Mapping[str, Any], images: str | None, display: Display
) -> Examined:
    """Opens what is to be examined, and embeds it unless that was done.

    Args:
        path: What the user named: a model or embeddings.
        given: The settings on the command line.
        images: A folder or a list of images, instead of a data set.
        display: Shows how far it is.

    Raises:
        UsageError: If flags do not fit together.
        ValueError: If something cannot be read, or embeddings and images do not fit.
    """
    for name in ("dataset", "data_dir"):
        if images is not None and name in given:
            raise UsageError(f"--images and --{name} do not go together. Pass one.")
    inputs = None if images is None else list_images(images)
    if path.is_dir() and find_parts(path):
        return _of_parquet(path, given, inputs)
    if path.suffix == ".npy":
        return _of_array(path, given, inputs)
    if inputs is None:
        return _of_data_set(path, given, display)
    return _of_inputs(path, given, inputs, display)


def _of_data_set(path: Path, given: Mapping[str, Any], display: Display) -> Examined:
    # Broken images are a finding here, however many there are.
    opened = open_source(path, {"max_bad_images": 1.0, **given}, {}, display)
    population = Population.of(opened.splits)
    everything = Population.of(read_splits(opened.config.data)).paths
    left_out = sorted(set(everything) - set(population.paths))
    broken = find_broken(left_out, max_pixels=opened.config.data.max_image_pixels)
    with display.task("embedding", len(population)) as update:
        embeddings = opened.embedder.embeddings(
            population.paths, lambda done: update(done, "")
        )
    run = opened.run.path if opened.run else None
    root = data_folder(opened.config.data.data_dir)
    return Examined(
        population, embeddings, opened.config, opened.splits, broken, root, run
    )


def _of_inputs(
    path: Path, given: Mapping[str, Any], inputs: Inputs, display: Display
) -> Examined:
    source = find_source(path)
    # Of no data set, whose name the settings must have all the same.
    config = config_for(source, {"dataset": "folder", **given})
    devices.configure(config.run, config.network.mixed_precision)
    population = _population(inputs)
    with display.task("looking at every image", len(population)) as update:
        broken = find_broken(
            population.paths,
            max_pixels=config.data.max_image_pixels,
            num_workers=config.data.num_workers,
            on_progress=lambda done: update(done, ""),
        )
    sound = [path not in broken for path in population.paths]
    population = population.keep(np.flatnonzero(sound))
    if not len(population):
        raise ValueError(f"All {len(broken)} images are broken. Correct --images.")
    embedder = source.open(config, FileReader())
    with display.task("embedding", len(population)) as update:
        embeddings = embedder.embeddings(
            population.paths, lambda done: update(done, "")
        )
    run = source.run.path if source.run else None
    root = _local_root(inputs)
    return Examined(population, embeddings, config, None, broken, root, run)


def _population(inputs: Inputs) -> Population:
    root = _local_root(inputs)
    return Population.from_lists(
        [str(root / each.path) for each in inputs.images],
        [each.label for each in inputs.images],
        [str(each.metadata.get("split", _UNNAMED)) for each in inputs.images],
    )


def _local_root(inputs: Inputs) -> Path:
    if not isinstance(inputs.root, Path):
        raise UsageError(
            f"--images lies in the store {inputs.root}; expected files of this "
            "machine, as every one is read. Copy them here."
        )
    return inputs.root


def _of_array(path: Path, given: Mapping[str, Any], inputs: Inputs | None) -> Examined:
    array = load_npy(path, "an array of embeddings, (num_images, embedding_dim)")
    embeddings = check_vectors(array, str(path))
    config = plain_config(given)
    if inputs is None:
        if "dataset" not in given:
            raise UsageError(
                f"{path} holds embeddings, and does not say of which images. Give "
                "--dataset and --data_dir, or --images."
            )
        splits = read_splits(config.data)
        population, root = Population.of(splits), data_folder(config.data.data_dir)
    else:
        splits, population, root = None, _population(inputs), _local_root(inputs)
    if len(embeddings) != len(population):
        counts = np.bincount(population.splits)
        parts = zip(population.split_names, counts, strict=True)
        raise ValueError(
            f"{path} has {len(embeddings)} rows, and there are {len(population)} "
            f"images: {', '.join(f'{count} {name}' for name, count in parts)}. "
            "Expected a row for each, in that order. Embed these images again, or name "
            "those the rows are of."
        )
    return Examined(population, embeddings, config, splits, {}, root)


def _of_parquet(
    folder: Path, given: Mapping[str, Any], inputs: Inputs | None
) -> Examined:
    header, parts = check_folder(folder)
    home = Path(header.image_root)
    paths, names, where, vectors = [], [], [], []
    for block in read_records(folder, parts):
        paths += [str(home / (each.path or str(each.id))) for each in block]
        names += [each.label for each in block]
        where += [str(each.metadata.get("split", _UNNAMED)) for each in block]
        vectors.append(np.stack([each.vector for each in block]))
    if not vectors:
        raise ValueError(f"{folder} holds no embedding. Embed some images first.")
    embeddings = check_vectors(np.concatenate(vectors), str(folder))
    broken = {
        str(home / row["path"]): str(row["reason"])
        for part in find_lists_of_bad(folder)
        for row in read_bad(folder / part.bad_name)
    }
    config = plain_config(given)
    splits: Splits | None = None
    root: Path | None = home
    if inputs is not None:
        population, root = _population(inputs), _local_root(inputs)
    elif "dataset" in given:
        splits = read_splits(config.data)
        population, root = Population.of(splits), data_folder(config.data.data_dir)
    else:
        population = Population.from_lists(paths, names, where)
    rows, kept = _match(population.paths, paths, broken, folder)
    left = population.keep(np.array(kept, np.int64))
    if splits is not None:
        left_paths = set(left.paths)
        splits = splits.map_parts(
            lambda part: part.keep(
                np.flatnonzero([path in left_paths for path in part.paths])
            )
        )
    return Examined(left, embeddings[rows], config, splits, broken, root)


def _match(
    wanted: Sequence[str],
    there: Sequence[str],
    broken: Mapping[str, str],
    folder: Path,
) -> tuple[list[int], list[int]]:
    """Returns the row of the embedding of each image, and which images have one."""
    row_of = {whole_path(path): row for row, path in enumerate(there)}
    bad = {whole_path(path) for path in broken}
    rows, kept, missing = [], [], []
    for place, path in enumerate(wanted):
        row = row_of.get(whole_path(path))
        if row is not None:
            rows.append(row)
            kept.append(place)
        elif whole_path(path) not in bad:
            missing.append(path)
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(wanted)} images have no embedding in {folder}, "
            f"the first is {missing[0]}; that holds {len(there)}, the first of "
            f"{there[0]}. Embed all of them (`{PROGRAM} embed --split=all`), or name "
            "the images that were embedded."
        )
    return rows, kept
