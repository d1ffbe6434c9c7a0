"""What befalls a run, in words that say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.errors import first_line
from dce_tf.scan import find_broken

_READING = (
    tf.errors.NotFoundError,
    tf.errors.InvalidArgumentError,
    tf.errors.PermissionDeniedError,
    tf.errors.DataLossError,
    tf.errors.UnknownError,
)


@contextlib.contextmanager
def explained_faults(
    config: Config, splits: Splits, num_replicas: int = 1
) -> Iterator[None]:
    """Turns TensorFlow's errors about memory and files into such that name a remedy.

    Args:
        config: The settings.
        splits: The images.
        num_replicas: Devices that train.

    Raises:
        ValueError: In their place.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        unit = config.samples_per_class * num_replicas
        half = max(2 * unit, config.batch_size // 2 // unit * unit)
        raise ValueError(
            f"Out of memory ({first_line(error)[:200]}). With --batch_size="
            f"{config.batch_size} try --batch_size={half}; while embedding, "
            f"--evaluation_batch_size={max(1, config.evaluation_batch_size // 2)}; "
            "--mixed_precision=bfloat16 or --gradient_checkpointing need less too."
        ) from error
    except _READING as error:
        changed = _changed_images(config, splits)
        if not changed:
            raise
        path, reason = next(iter(changed.items()))
        raise ValueError(
            f"{len(changed)} of the images could be read when the run began, and "
            f"cannot now; the first is {path} ({reason}). Put them back, or delete "
            "bad_images.json in the run directory to go on without them: the same "
            "command goes on from the last checkpoint."
        ) from error


def _changed_images(config: Config, splits: Splits) -> dict[str, str]:
    paths = {path for part in splits.parts().values() for path in part.paths}
    return find_broken(
        sorted(paths),
        max_pixels=config.max_image_pixels,
        num_workers=config.num_workers,
    )
