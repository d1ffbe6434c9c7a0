"""What goes wrong in a run, in words that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from dce_tf.base.errors import first_line
from dce_tf.config import DataSettings, LossSettings
from dce_tf.datasets import Images, Splits
from dce_tf.images.scan import find_broken
from dce_tf.runs.loading import read_splits

_READING = (
    tf.errors.NotFoundError,
    tf.errors.InvalidArgumentError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
    tf.errors.UnknownError,
)


@contextlib.contextmanager
def explained_faults(
    loss: LossSettings, data: DataSettings, splits: Splits, num_replicas: int = 1
) -> Iterator[None]:
    """Turns TensorFlow's errors about memory and files into such that name a remedy.

    Args:
        loss: How large batches are.
        data: How images are read.
        splits: The images.
        num_replicas: Devices that train.

    Raises:
        ValueError: In their place.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        unit = loss.samples_per_class * num_replicas
        half = max(2 * unit, loss.batch_size // 2 // unit * unit)
        raise ValueError(
            f"Out of memory ({first_line(error)[:200]}). With --batch_size="
            f"{loss.batch_size} try --batch_size={half}; while embedding, "
            f"--evaluation_batch_size={max(1, data.evaluation_batch_size // 2)}; "
            "--mixed_precision=bfloat16, --gradient_checkpointing or a "
            "small --micro_batch_size need less, too."
        ) from error
    except _READING as error:
        changed = _changed_images(data, splits)
        if not changed:
            raise
        path, reason = next(iter(changed.items()))
        raise ValueError(
            f"{len(changed)} of the images could be read when the run began, and "
            f"cannot now; the first is {path} ({reason}). {_remedy(data, splits)} The "
            "same command goes on from the last checkpoint."
        ) from error


def _remedy(data: DataSettings, splits: Splits) -> str:
    listed = {path for part in _listed(data).parts().values() for path in part.paths}
    if all(listed.issuperset(part.paths) for part in splits.parts().values()):
        return (
            "Put them back; or, if they are training images, delete bad_images.json in "
            "the run directory to go on without them."
        )
    return (
        "Put them back: without them these are other data, and the run is one on what "
        "it began with."
    )


def _listed(data: DataSettings) -> Splits:
    """Returns what the data set lists now; nothing where it cannot be read."""
    try:
        return read_splits(data)
    except ValueError:
        nothing = Images((), np.empty(0, np.int32), ())
        return Splits(nothing, None, ())


def _changed_images(data: DataSettings, splits: Splits) -> dict[str, str]:
    paths = {path for part in splits.parts().values() for path in part.paths}
    return find_broken(
        sorted(paths),
        max_pixels=data.max_image_pixels,
        num_workers=data.num_workers,
    )
