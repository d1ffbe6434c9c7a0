"""Images that cannot be read: found, listed, left out, or too many."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dce_tf.base.files import cache_folder, write_json
from dce_tf.base.program import PROGRAM
from dce_tf.config import DataSettings
from dce_tf.datasets import Images, Splits
from dce_tf.images.looked_at import LookedAt
from dce_tf.images.scan import find_broken
from dce_tf.reports.display import Display

_WORTH_SECONDS = 2.0  # A shorter search is not worth a file.


def look_for_broken(
    splits: Splits,
    data: DataSettings,
    bad_images_file: Path | None,
    display: Display,
) -> dict[str, str]:
    """Returns why images are broken, by path.

    Args:
        splits: The images.
        data: How they are read.
        bad_images_file: Keeps the list, so that they are looked for once; None writes
            nothing. That none is broken is kept for other runs, too.
        display: Shows how far it is.
    """
    broken = None if bad_images_file is None else known_broken(bad_images_file)
    if broken is None or too_many_broken(broken, splits, data.max_bad_images):
        paths = sorted({p for part in splits.parts().values() for p in part.paths})
        looked = LookedAt(cache_folder() / "looked", paths, data.max_image_pixels)
        broken = {} if looked.are_sound else _look(paths, data, display, looked)
        keep_broken(bad_images_file, broken)
    return broken


def _look(
    paths: Sequence[str], data: DataSettings, display: Display, looked: LookedAt
) -> dict[str, str]:
    started = time.monotonic()
    with display.task("looking at every image", len(paths)) as update:
        broken = find_broken(
            paths,
            max_pixels=data.max_image_pixels,
            num_workers=data.num_workers,
            on_progress=lambda done: update(done, ""),
        )
    if not broken and time.monotonic() - started > _WORTH_SECONDS:
        looked.keep()
    return broken


def keep_broken(bad_images_file: Path | None, broken: Mapping[str, str]) -> None:
    """Writes the list of broken images, if there is to be one."""
    if bad_images_file is not None:
        write_json(bad_images_file, dict(broken))


def too_many_broken(
    broken: Mapping[str, str], splits: Splits, limit: float
) -> str | None:
    """Says if more images of a data set are broken than are allowed.

    Args:
        broken: The reason why an image is broken, by its path.
        splits: The data set; each source of a mix is counted by itself.
        limit: The share that is allowed, 0 to 1.

    Returns:
        How many and which is the first; None if they are few enough.
    """
    for name, paths in splits.paths_by_source().items():
        own = set(paths)
        found = [path for path in broken if path in own]
        if len(found) > limit * len(paths):
            return (
                f"{name and name + ': '}{len(found)} of {len(paths)} images are "
                f"broken, the first is {found[0]} ({broken[found[0]]})"
            )
    return None


def without_broken(
    broken: Mapping[str, str],
    splits: Splits,
    max_bad_images: float,
    bad_images_file: Path | None,
) -> Splits:
    """Returns splits without broken images, and with a warning that says so.

    Args:
        broken: The reason by path.
        splits: The images.
        max_bad_images: The share that is allowed, 0 to 1.
        bad_images_file: Where they are listed, if they are.

    Raises:
        ValueError: If there are more.
    """
    if not broken:
        return splits
    if (too_many := too_many_broken(broken, splits, max_bad_images)) is not None:
        raise ValueError(
            f"{too_many}. That is more than --max_bad_images={max_bad_images} allows. "
            f"Check --data_dir, mend them (`{PROGRAM} data` lists them all), or "
            "raise the limit."
        )
    first, reason = next(iter(broken.items()))
    by_source = splits.paths_by_source()
    text = (
        f"{len(broken)} of {sum(map(len, by_source.values()))} images are broken, the "
        f"first is {first} ({reason})"
    )
    if splits.sources:
        counts = {
            name: len(broken.keys() & set(paths)) for name, paths in by_source.items()
        }
        each = ", ".join(f"{count} of {name}" for name, count in counts.items())
        text += f"; {each}"
    if bad_images_file is not None:
        text += f"; all are listed in {bad_images_file}"
    text += ". They are left out."

    def sound(images: Images) -> Images:
        return images.keep(_sound_rows(images, broken))

    return dataclasses.replace(
        splits.map_parts(sound),
        train=splits.train.select(_sound_rows(splits.train, broken)),
        warnings=(*splits.warnings, text),
    )


def known_broken(file: Path) -> dict[str, str] | None:
    """Returns why images are left out, by path; None if nobody has looked yet."""
    if not file.is_file():
        return None
    broken: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return broken


def _sound_rows(images: Images, broken: Mapping[str, str]) -> npt.NDArray[np.int64]:
    sound = [row for row, path in enumerate(images.paths) if path not in broken]
    return np.asarray(sound, np.int64)
