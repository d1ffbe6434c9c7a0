"""From the settings to splits that can be trained on; shared by the commands."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dce_tf.config import Config
from dce_tf.datasets import DATASETS, Images, Search, Splits
from dce_tf.datasets.validation import hold_out_classes, hold_out_fold
from dce_tf.errors import UsageError
from dce_tf.files import cache_folder, write_json
from dce_tf.image_cache import ImageCache, open_cache
from dce_tf.pipelines import FileReader, PictureReader
from dce_tf.scan import find_broken
from dce_tf.training.display import Display
from dce_tf.training.workers import Workers


class Data(NamedTuple):
    """What a run trains and is tested on.

    Attributes:
        splits: The images.
        reader: Where their pictures come from.
    """

    splits: Splits
    reader: PictureReader


def load_data(
    config: Config,
    bad_images_file: Path,
    display: Display,
    workers: Workers | None = None,
) -> Data:
    """Reads the splits, leaves out broken images, and holds out validation classes.

    Args:
        config: The settings.
        bad_images_file: Keeps the list of broken images, so that they are looked for
            once.
        display: Shows how far the search is.
        workers: The processes that train together: the chief looks for all.

    Returns:
        The images, and where their pictures come from; `val` is there unless the
        settings select on the test split.

    Raises:
        ValueError: If too many images are broken, or nothing can be held out.
    """
    splits = DATASETS.build(
        config.dataset,
        data_dir=config.data_dir,
        allow_partial_data=config.allow_partial_data,
    )
    paths = {path for part in splits.parts().values() for path in part.paths}
    reader = _open_reader(sorted(paths), config, display)

    def look() -> dict[str, str]:
        if isinstance(reader, ImageCache):
            write_json(bad_images_file, reader.broken)
            return reader.broken
        return _find_broken(sorted(paths), config, bad_images_file, display)

    broken = workers.from_chief(look) if workers is not None else look()
    splits = _without(broken, len(paths), splits, config, bad_images_file)
    train, val = _hold_out(splits, config)
    if workers is not None:
        read = [part.paths for part in splits.parts().values()]
        digest = hashlib.sha256(repr(read).encode()).hexdigest()
        workers.check_same(digest, "images")
    return Data(dataclasses.replace(splits, train=train, val=val), reader)


def _hold_out(splits: Splits, config: Config) -> tuple[Images, Images | None]:
    if splits.val is not None and config.num_folds:
        raise ValueError(
            f"--num_folds={config.num_folds} cuts up the training classes, but "
            f"{config.dataset} has a validation split of its own. Leave the flag out."
        )
    if splits.val is not None or config.select_on == "test":
        return splits.train, splits.val
    if config.fold is not None:
        return hold_out_fold(
            splits.train, config.num_folds, config.fold, config.random_seed
        )
    if not config.val_fraction:
        raise ValueError(
            "--val_fraction=0 and no validation split in the data: nothing to "
            "choose the best epoch on. Give a fraction, or --select_on=test."
        )
    return hold_out_classes(splits.train, config.val_fraction, config.random_seed)


def selection_search(config: Config, splits: Splits) -> Search:
    """Returns the search on which the best epoch is chosen."""
    if config.select_on == "test" or splits.val is None:
        search = splits.tests[0]
    else:
        search = Search("val", splits.val, splits.val)
    if config.eval_images:
        return search.of_classes(config.eval_images, config.random_seed)
    return search


def _open_reader(
    paths: Sequence[str], config: Config, display: Display
) -> PictureReader:
    if not config.cache_images:
        return FileReader()
    folder = config.cache_dir
    with display.task("decoding every image, once", len(paths)) as update:
        return open_cache(
            Path(folder).expanduser() if folder else cache_folder() / "images",
            paths,
            config.image_size,
            max_pixels=config.max_image_pixels,
            num_workers=config.num_workers,
            on_progress=lambda done: update(done, ""),
            note=display.note,
        )


def _find_broken(
    paths: Sequence[str], config: Config, bad_images_file: Path, display: Display
) -> dict[str, str]:
    broken = _known_broken(bad_images_file)
    if broken is None or len(broken) > config.max_bad_images * len(paths):
        with display.task("looking at every image", len(paths)) as update:
            broken = find_broken(
                paths,
                max_pixels=config.max_image_pixels,
                num_workers=config.num_workers,
                on_progress=lambda done: update(done, ""),
            )
        write_json(bad_images_file, broken)
    return broken


def _without(
    broken: dict[str, str],
    num_images: int,
    splits: Splits,
    config: Config,
    bad_images_file: Path,
) -> Splits:
    if not broken:
        return splits
    first, reason = next(iter(broken.items()))
    text = (
        f"{len(broken)} of {num_images} images are broken, the first is {first} "
        f"({reason}); all are listed in {bad_images_file}."
    )
    if len(broken) > config.max_bad_images * num_images:
        raise ValueError(
            f"{text} That is more than --max_bad_images={config.max_bad_images} "
            "allows. Check --data_dir, mend them, or raise the limit."
        )
    text += " They are left out."

    def sound(images: Images) -> Images:
        return images.keep(_sound_rows(images, broken))

    return dataclasses.replace(
        splits.map_parts(sound),
        train=splits.train.select(_sound_rows(splits.train, broken)),
        warnings=(*splits.warnings, text),
    )


def _known_broken(file: Path) -> dict[str, str] | None:
    if not file.is_file():
        return None
    broken: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return broken


def _sound_rows(images: Images, broken: dict[str, str]) -> npt.NDArray[np.int64]:
    sound = [row for row, path in enumerate(images.paths) if path not in broken]
    return np.asarray(sound, np.int64)


def check_trainable(train: Images, config: Config) -> None:
    """Checks that there is something to learn in each cluster.

    Args:
        train: The images to train on.
        config: The settings.

    Raises:
        UsageError: If there are fewer classes than so many clusters need.
        ValueError: If there are too few whatever the clusters.
    """
    pairs = np.count_nonzero(np.bincount(train.labels) > 1)
    if pairs < 2:
        raise ValueError(
            f"The training split has {len(train)} images of {len(train.class_names)} "
            f"classes, {pairs} of them with two images or more; at least two such "
            "classes are needed to learn what is alike and what is not."
        )
    if config.num_clusters > pairs // 2:
        fitting = (k for k in range(pairs // 2, 0, -1) if config.takes_clusters(k))
        raise UsageError(
            f"--num_clusters={config.num_clusters} is too many for {pairs} classes "
            "with two images or more: a cluster needs two. The nearest that works is "
            f"--num_clusters={next(fitting)}."
        )
