"""A run that looks as if it was trained."""

from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory


def finish(config: Config, recall: float) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    line = {"epoch": 0, "evaluated_on": "val", "recall@1": recall, "map@r": 0.5}
    run.write_metrics([{**line, "seconds": 3.0}])
    run.write_report({"after": {"recall@1": 0.0}})
