"""Follow runs in MLflow: `--callback="mlflow(experiment=birds)"`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.callbacks.choose import CALLBACKS
from dce_tf.callbacks.tracker import Tracker, needed

# The most that MLflow accepts in one request.
_MOST_PARAMETERS = 100
_MOST_METRICS = 1000


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
        self._entities = needed("mlflow.entities", "mlflow")
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
            parameters = [
                self._entities.Param(key, str(value))
                for key, value in self.settings.items()
            ]
            for start in range(0, len(parameters), _MOST_PARAMETERS):
                some = parameters[start : start + _MOST_PARAMETERS]
                client.log_batch(known, params=some)
        else:
            client.update_run(known, status="RUNNING")
        self._run = known
        return known

    def send(self, numbers: Mapping[str, float], step: int) -> None:
        """See `Tracker`; MLflow allows no @ in a name."""
        now = int(1000 * time.time())
        metrics = [
            self._entities.Metric(_name_of(tag), float(value), now, step)
            for tag, value in numbers.items()
        ]
        for start in range(0, len(metrics), _MOST_METRICS):
            some = metrics[start : start + _MOST_METRICS]
            self._client.log_batch(self._run, metrics=some)

    def finish(self, scores: Mapping[str, float], step: int) -> None:
        """See `Tracker`."""
        self.send(scores, step)
        self._client.set_terminated(self._run)


def _name_of(tag: str) -> str:
    return re.sub(r"[^\w/. -]", "_", tag.replace("@", "_at_"))
