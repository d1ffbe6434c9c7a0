"""Follow runs in Weights & Biases: `--callback="wandb(project=birds)"`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dce_tf.callbacks.choose import CALLBACKS
from dce_tf.callbacks.tracker import Tracker, needed


@CALLBACKS.register("wandb")
class WeightsAndBiases(Tracker):
    """Sends settings and numbers to Weights & Biases.

    Args:
        project: Where the run belongs.
        entity: Whose project it is; default: that of whoever is logged in.
        mode: `online`, `offline` (`wandb sync` sends it later) or `disabled`; default:
            `WANDB_MODE`, or online.
        folder: The run's own, where its files go.
        settings: Of the run, by the name of their flag.

    Raises:
        UsageError: If W&B is not installed.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        project: str = "dce_tf",
        entity: str | None = None,
        mode: str | None = None,
    ) -> None:
        super().__init__("wandb", folder, settings)
        self._wandb: Any = needed("wandb", "wandb")
        self._where = {"project": project, "entity": entity, "mode": mode}
        self._run: Any = None

    def start(self, known: str | None) -> str:
        """See `Tracker`."""
        self._run = self._wandb.init(
            **self._where,
            id=known,
            resume="allow",
            name=self.folder.name,
            dir=str(self.folder),
            config=self.settings,
        )
        return str(self._run.id)

    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self._run.log(dict(numbers), step=step, commit=True)

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        """See `Tracker`; as W&B takes no earlier step, they stand in the summary."""
        self._run.summary.update({**scores, "best_epoch": step})
        self._run.finish()
