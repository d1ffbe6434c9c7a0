"""The callback that tells TensorBoard what each epoch brought."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from dce_tf.config import Config
from dce_tf.reports.tensorboard import TensorBoardWriter
from dce_tf.run_directory import RunDirectory

_NOT_SCALARS = {"epoch", "stage", "evaluated_on"}


class Summaries(keras.callbacks.Callback):
    """Writes the metrics of each epoch as TensorBoard scalars.

    Args:
        run: Where to.
        config: The settings, shown as text; its learning rates are scalars.
    """

    def __init__(self, run: RunDirectory, config: Config) -> None:
        super().__init__()
        self._config = config
        self._writer = TensorBoardWriter(run.tensorboard)

    def write_epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Writes the logs of an epoch."""
        if epoch == -1:
            rows = [
                f"| {k} | {v} |" for k, v in dataclasses.asdict(self._config).items()
            ]
            table = "\n".join(["| setting | value |", "| --- | --- |", *rows])
            self._writer.text("settings", table, 0)
        self._writer.scalars(epoch + 1, scalars_of(logs))
        self._writer.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epoch."""
        # Under MirroredStrategy a variable cannot become a float by itself.
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        rates = {
            "learning_rate/backbone": rate * self._config.backbone_lr,
            "learning_rate/embedding": rate * self._config.embedding_lr,
        }
        self.write_epoch(epoch, {**(logs or {}), **rates})

    def close(self) -> None:
        """Finishes the event file."""
        self._writer.close()


def scalars_of(logs: dict[str, Any]) -> dict[str, float]:
    """Names the numbers in the logs of an epoch so that TensorBoard groups them."""
    scalars: dict[str, float] = {}
    split = logs.get("evaluated_on")
    for key, value in logs.items():
        if key in _NOT_SCALARS or value is None:
            continue
        if isinstance(value, list):
            group = {
                "learner_losses": "loss/learner",
                "cluster_sizes": "cluster_size/cluster",
            }
            for learner, part in enumerate(value):
                if part is not None:
                    scalars[f"{group.get(key, key)}_{learner}"] = part
        else:
            scalars[_tag(key, split)] = value
    return scalars


def _tag(key: str, split: str | None) -> str:
    if key == "loss":
        return "loss/all"
    if key.startswith(("recall@", "map@", "r_precision", "nmi")):
        return f"{split}/{key}"
    if key in ("kept", "matching_cost", "division_nmi", "lone_images"):
        return f"division/{key}"
    if key.startswith("seconds") or key in ("images_per_second", "steps"):
        return f"time/{key}"
    return key
