"""MLflow itself, with a store in a folder."""

from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.callbacks import build_callbacks
from dce_tf.callbacks.mlflow import MLflow
from dce_tf.record import EpochRecord

mlflow = pytest.importorskip("mlflow", reason="the package mlflow-skinny")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "run").mkdir()
    return (tmp_path / "store").as_uri()


def build(store: str, folder: Path) -> MLflow:
    spec = f"mlflow(experiment=birds, tracking_uri='{store}')"
    (callback,) = build_callbacks(spec, folder, {"loss": "margin", "fold": None})
    return callback


def train(callback: MLflow, *epochs: int) -> None:
    callback.on_train_begin()
    for epoch in epochs:
        record = EpochRecord(epoch, "divide", "val", {"recall@1": epoch / 4})
        callback.set_params({"record": record})
        callback.on_epoch_end(epoch, record.logs)


def test_run_is_found_in_mlflow(store: str, tmp_path: Path) -> None:
    train(build(store, tmp_path / "run"), 0, 1)  # And stopped.
    callback = build(store, tmp_path / "run")
    train(callback, 2)
    callback.on_report({"after": {"map@r": 0.5}, "best_epoch": 1})
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("birds")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"loss": "margin"}
    history = client.get_metric_history(run.info.run_id, "val/recall_at_1")
    assert [(each.step, each.value) for each in history] == [
        (1, 0.0),
        (2, 0.25),
        (3, 0.5),
    ]
    assert run.data.metrics["test/map_at_r"] == 0.5


def test_more_settings_than_mlflow_takes_at_once_are_all_there(
    store: str, tmp_path: Path
) -> None:
    settings = {f"setting_{number}": number for number in range(250)}
    callback = MLflow(tmp_path / "run", settings, "birds", store)
    callback.on_train_begin()
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("birds")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params == {name: str(value) for name, value in settings.items()}


def test_second_run_joins_the_experiment(store: str, tmp_path: Path) -> None:
    for name in ("run", "other"):
        (tmp_path / name).mkdir(exist_ok=True)
        train(build(store, tmp_path / name), 0)
    client = mlflow.MlflowClient(store)
    experiment = client.get_experiment_by_name("birds")
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_store_that_mlflow_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--callback=mlflow: "):
        build("nonsense://x", tmp_path)
    assert not list(tmp_path.iterdir())
