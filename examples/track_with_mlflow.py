"""Follow a run in MLflow and ask it back: python examples/track_with_mlflow.py DIR.

python main.py --callback="mlflow(experiment=birds, tracking_uri='sqlite:///m.db')"
mlflow ui --backend-store-uri sqlite:///m.db      # with the whole package mlflow
"""

import sys

from mlflow.tracking import MlflowClient

import dce_tf

STORE = "sqlite:///mlflow.db"
data = {"dataset": "folder", "data_dir": sys.argv[1], "val_fraction": 0.4}
fast = {"backbone": "small", "image_size": 32, "batch_size": 16, "num_epochs": 2}
callback = f"mlflow(experiment=birds, tracking_uri='{STORE}')"
dce_tf.train(
    dce_tf.Config(callback=callback, num_clusters=2, export=False, **data, **fast)
)

client = MlflowClient(STORE)
experiment = client.get_experiment_by_name("birds")
run = client.search_runs([experiment.experiment_id])[0]
curve = client.get_metric_history(run.info.run_id, "val/recall_at_1")
print("val/recall@1:", [round(point.value, 3) for point in curve])
print("test/recall@1:", round(run.data.metrics["test/recall_at_1"], 3))
