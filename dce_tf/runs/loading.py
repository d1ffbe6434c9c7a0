"""From the settings to splits that can be trained on; shared by the commands."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dce_tf.base.errors import UsageError
from dce_tf.base.files import cache_folder
from dce_tf.config import Config, DataSettings
from dce_tf.datasets import DATASETS, Images, Search, Splits
from dce_tf.datasets.checks import require_train
from dce_tf.datasets.validation import (
    hold_out_by_source,
    hold_out_classes,
    hold_out_fold,
)
from dce_tf.images.image_cache import ImageCache, open_cache
from dce_tf.reports.display import Display
from dce_tf.runs.broken import keep_broken, look_for_broken, without_broken
from dce_tf.training.pipelines import FileReader, PictureReader
from dce_tf.training.workers import Workers


class Data(NamedTuple):
    """What a run trains and is tested on.

    Attributes:
        splits: The images.
        reader: Where their pictures come from.
        left_out: The reason why an image is broken, by its path.
        rows: Which images of the training split before are in this one, int64, rising;
            None if none was left out since.
    """

    splits: Splits
    reader: PictureReader
    left_out: dict[str, str]
    rows: npt.NDArray[np.int64] | None = None


def read_splits(data: DataSettings) -> Splits:
    """Reads the splits as the data set has them.

    Raises:
        UsageError: If the data set or its folder is not known.
        ValueError: If they are not of its format.
    """
    return DATASETS.build(
        data.dataset,
        data_dir=data.data_dir,
        allow_partial_data=data.allow_partial_data,
    )


def load_data(
    config: Config,
    bad_images_file: Path | None,
    display: Display,
    workers: Workers | None = None,
    *,
    for_training: bool = True,
    splits: Splits | None = None,
    left_out: Mapping[str, str] | None = None,
) -> Data:
    """Reads the splits, leaves out broken images, and holds out validation classes.

    Args:
        config: The settings.
        bad_images_file: Keeps the list of broken images, so that they are looked for
            once; None writes nothing.
        display: Shows how far the search is.
        workers: The processes that train together: the chief looks for all.
        for_training: Whether there must be a training split.
        splits: What `read_splits` gave, where it was called already.
        left_out: Images that are left out whether they are broken or not, and why: a
            run that goes on leaves out those it has left out before.

    Returns:
        The images, and where their pictures come from; `val` is there unless the
        settings select on the test split.

    Raises:
        ValueError: If too many images are broken, nothing can be held out, or there is
            no training split and there must be one; or if others than `left_out` are
            broken, and not only the training images that are left become fewer.
    """
    splits = read_splits(config.data) if splits is None else splits
    if for_training:
        require_train(splits, config.data.data_dir)
    paths = {path for part in splits.parts().values() for path in part.paths}
    reader = _open_reader(sorted(paths), config.data, display)

    def look() -> dict[str, str]:
        if isinstance(reader, ImageCache):
            keep_broken(bad_images_file, reader.broken)
            return reader.broken
        return look_for_broken(splits, config.data, bad_images_file, display)

    broken = workers.from_chief(look) if workers is not None else look()
    broken = {**(left_out or {}), **broken}
    used = _cut(splits, broken, config, bad_images_file)
    rows = None
    if left_out is not None and len(broken) > len(left_out):
        before = _cut(splits, left_out, config, bad_images_file)
        rows = _rows_left(before, used)
        if rows is None:
            if workers is None or workers.is_chief:
                keep_broken(bad_images_file, left_out)
            raise _other_scores({k: v for k, v in broken.items() if k not in left_out})
    if workers is not None:
        read = [part.paths for part in used.parts().values()]
        digest = hashlib.sha256(repr(read).encode()).hexdigest()
        workers.check_same(digest, "images")
    return Data(used, reader, broken, rows)


def _cut(
    splits: Splits,
    broken: Mapping[str, str],
    config: Config,
    bad_images_file: Path | None,
) -> Splits:
    """Leaves broken images out, then holds validation classes out."""
    sound = without_broken(broken, splits, config.data.max_bad_images, bad_images_file)
    if not len(sound.train):
        return sound
    train, val = _hold_out(sound, config)
    return dataclasses.replace(sound, train=train, val=val)


def _rows_left(before: Splits, now: Splits) -> npt.NDArray[np.int64] | None:
    """Returns which training images are left of those before.

    None if anything else has changed: what is scored, or which classes are trained on.
    """
    parts = [
        {name: part.paths for name, part in splits.parts().items() if name != "train"}
        for splits in (before, now)
    ]
    if parts[0] != parts[1] or before.train.class_names != now.train.class_names:
        return None
    left = set(now.train.paths)
    return np.flatnonzero([path in left for path in before.train.paths])


def _other_scores(broken: Mapping[str, str]) -> ValueError:
    first, reason = next(iter(broken.items()))
    return ValueError(
        f"{len(broken)} images are broken that were not when the run began, and not "
        "only of the training split, or they were all of a class; the first is "
        f"{first} ({reason}). Scores of other images cannot be compared with those so "
        "far: put the images back, or start over with --overwrite."
    )


def _hold_out(splits: Splits, config: Config) -> tuple[Images, Images | None]:
    if splits.val is not None and config.data.num_folds:
        raise ValueError(
            f"--num_folds={config.data.num_folds} cuts up the training classes, but "
            f"{config.data.dataset} has a validation split of its own. Leave the flag "
            "out."
        )
    if config.evaluation.select_on == "test" or not _lacks_val(splits):
        return splits.train, splits.val
    if config.data.fold is not None:
        fold = functools.partial(
            hold_out_fold,
            num_folds=config.data.num_folds,
            fold=config.data.fold,
            seed=config.run.random_seed,
        )
        return _held_out(splits, fold)
    if not config.data.val_fraction:
        if splits.val is not None:
            return splits.train, splits.val
        raise ValueError(
            "--val_fraction=0 and no validation split in the data: nothing to "
            "choose the best epoch on. Give a fraction, or --select_on=test."
        )
    return _held_out(
        splits,
        functools.partial(
            hold_out_classes,
            fraction=config.data.val_fraction,
            seed=config.run.random_seed,
        ),
    )


def _held_out(
    splits: Splits, hold_out: Callable[[Images], tuple[Images, Images]]
) -> tuple[Images, Images]:
    if splits.sources:
        return hold_out_by_source(splits, hold_out)
    return hold_out(splits.train)


def _lacks_val(splits: Splits) -> bool:
    """Whether the data set, or a source of it, has no validation split of its own."""
    if splits.val is None or not splits.sources:
        return splits.val is None
    return not splits.train.numbers_of_sources() <= splits.val.numbers_of_sources()


def selection_search(splits: Splits, config: Config) -> Search:
    """Returns the search on which the best epoch is chosen."""
    if config.evaluation.select_on == "test" or splits.val is None:
        search = splits.tests[0]
    else:
        search = Search("val", splits.val, splits.val)
    if config.evaluation.eval_images:
        return search.of_classes(config.evaluation.eval_images, config.run.random_seed)
    return search


def _open_reader(
    paths: Sequence[str], data: DataSettings, display: Display
) -> PictureReader:
    if not data.cache_images:
        return FileReader()
    folder = data.cache_dir
    with display.task("decoding every image, once", len(paths)) as update:
        return open_cache(
            Path(folder).expanduser() if folder else cache_folder() / "images",
            paths,
            data.image_size,
            max_pixels=data.max_image_pixels,
            num_workers=data.num_workers,
            on_progress=lambda done: update(done, ""),
            note=display.note,
        )


def check_trainable(train: Images, config: Config) -> None:
    """Checks that there is something to learn in each cluster.

    Args:
        train: The images to train on.
        config: The settings.

    Raises:
        UsageError: If there are fewer classes than the clusters need.
        ValueError: If there are too few whatever the clusters.
    """
    pairs = np.count_nonzero(np.bincount(train.labels) > 1)
    if pairs < 2:
        raise ValueError(
            f"The training split has {len(train)} images of {len(train.class_names)} "
            f"classes, {pairs} of them with two images or more; at least two such "
            "classes are needed to learn what is alike and what is not."
        )
    places = config.loss.batch_size // config.loss.samples_per_class
    if config.loss.sampler.startswith("neighbours") and pairs < places:
        raise UsageError(
            f"--sampler={config.loss.sampler} draws the classes of a batch from those "
            f"near to each other; {pairs} classes with two images or more do not fill "
            f"the {places} places of one. Use --sampler=class_balanced, or "
            f"--batch_size={pairs * config.loss.samples_per_class}."
        )
    if config.division.num_clusters > pairs // 2:
        fitting = (k for k in range(pairs // 2, 0, -1) if config.takes_clusters(k))
        raise UsageError(
            f"--num_clusters={config.division.num_clusters} is too many for {pairs} "
            "classes with two images or more: a cluster needs two. The nearest that "
            f"works is --num_clusters={next(fitting)}."
        )
