"""From the settings to splits that can be trained on; shared by the commands."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.config import Config
from dce_tf.datasets import DATASETS, Images, Search, Splits
from dce_tf.datasets.validation import hold_out_classes, hold_out_fold
from dce_tf.errors import UsageError
from dce_tf.files import write_json
from dce_tf.scan import find_broken
from dce_tf.training.display import Display


def load_data(config: Config, bad_images_file: Path, display: Display) -> Splits:
    """Reads the splits, leaves out broken images, and holds out validation classes.

    Args:
        config: The settings.
        bad_images_file: Keeps the list of broken images, so that they are looked for
            once.
        display: Shows how far the search is.

    Returns:
        The splits; `val` is there unless the settings select on the test split.

    Raises:
        ValueError: If the data cannot be trained on.
    """
    splits = DATASETS.build(
        config.dataset,
        data_dir=config.data_dir,
        allow_partial_data=config.allow_partial_data,
    )
    splits = _without_broken(splits, config, bad_images_file, display)
    train, val = _hold_out(splits, config)
    _check_trainable(train, config)
    return dataclasses.replace(splits, train=train, val=val)


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
        return splits.tests[0]
    return Search("val", splits.val, splits.val)


def _without_broken(
    splits: Splits, config: Config, bad_images_file: Path, display: Display
) -> Splits:
    paths = {path for part in splits.parts().values() for path in part.paths}
    limit = config.max_bad_images * len(paths)
    broken = _known_broken(bad_images_file)
    if broken is None or len(broken) > limit:
        with display.task("looking at every image", len(paths)) as update:
            broken = find_broken(
                sorted(paths),
                max_pixels=config.max_image_pixels,
                num_workers=config.num_workers,
                on_progress=lambda done: update(done, ""),
            )
        write_json(bad_images_file, broken)
    if not broken:
        return splits
    first, reason = next(iter(broken.items()))
    text = (
        f"{len(broken)} of {len(paths)} images are broken, the first is {first} "
        f"({reason}); all are listed in {bad_images_file}."
    )
    if len(broken) > limit:
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


def _check_trainable(train: Images, config: Config) -> None:
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
