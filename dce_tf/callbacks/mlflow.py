"""Follow runs in MLflow: `--callback="mlflow(experiment=birds)"`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.callbacks.choose import CALLBACKS
from dce_tf.callbacks.tracker import Tracker, needed


@CALLBACKS.register("mlflow")
class MLflow(Tracker):
    """Sends settings and numbers to MLflow.

    Args:
        experiment: Where the run belongs.
        tracking_uri: Address of the server, or of a store such as
            `sqlite:///mlflow.db`; default: `MLFLOW_TRACKING_URI`, or MLflow's own.
        folder: The run's own.
        settings: Of the run, by the name of their flag.

    Raises:
        UsageError: If MLflow is not installed, or has no such store.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        experiment: str = "dce_tf",
        tracking_uri: str | None = None,
    ) -> None:
        super().__init__("mlflow", folder, settings)
        tracking = needed("mlflow.tracking", "mlflow")
        errors = needed("mlflow.exceptions", "mlflow")
        try:
            self._client = tracking.MlflowClient(tracking_uri)
        except errors.MlflowException as error:
            raise UsageError(f"--callback=mlflow: {error}") from error
        self._experiment = experiment
        self._run = ""

    def start(self, known: str | None) -> str:
        """See `Tracker`."""
        client = self._client
        if known is None:
            found = client.get_experiment_by_name(self._experiment)
            number = (
                client.create_experiment(self._experiment)
                if found is None
                else found.experiment_id
            )
            run = client.create_run(number, run_name=self.folder.name)
            known = str(run.info.run_id)
            for key, value in self.settings.items():
                client.log_param(known, key, value)
        else:
            client.update_run(known, status="RUNNING")
        self._run = known
        return known

    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """See `Tracker`; MLflow allows no @ in a name."""
        for tag, value in numbers.items():
            name = re.sub(r"[^\w/. -]", "_", tag.replace("@", "_at_"))
            self._client.log_metric(self._run, name, value, step=step)

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self.send(scores, step)
        self._client.set_terminated(self._run)
