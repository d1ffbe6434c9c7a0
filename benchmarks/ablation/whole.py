"""Training of the whole network by the program, scored as the laboratory does."""

from __future__ import annotations

import tempfile
from typing import Any

import keras

from benchmarks.ablation.laboratory import Scores
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.reports.display import Display
from dce_tf.runs.evaluating import build_evaluator
from dce_tf.runs.loading import read_splits
from dce_tf.runs.session import build_extractor
from dce_tf.runs.train import train


def train_whole(config: Config) -> dict[int, dict[str, Scores]]:
    """Trains as `python main.py` does, in a folder that goes afterwards.

    Args:
        config: The settings; `evaluate_every` says after which epochs it is scored.

    Returns:
        By epoch, from 1, the scores of `"val"`, classes that are held out, and of
        `"test"`.
    """
    look = _Look(config, read_splits(config.data))
    with tempfile.TemporaryDirectory(prefix="ablation-") as folder:
        own = config.replace(log_dir=folder, export=False)
        train(own, [look], Display(quiet=True))
    return look.scores


class _Look(keras.callbacks.Callback):
    """Scores the test split after each epoch whose held-out classes were scored."""

    def __init__(self, config: Config, splits: Splits) -> None:
        super().__init__()
        self.scores: dict[int, dict[str, Scores]] = {}
        self._config = config
        self._splits = splits

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if "map@r" not in logs:
            return
        evaluator = build_evaluator(
            build_extractor(self.model, self._config.data),
            self._splits,
            self._config.evaluation,
            self._config.run,
            Display(quiet=True),
        )
        (test,) = evaluator.evaluate(self._splits.tests[:1])
        self.scores[epoch + 1] = {
            name: {key: scores[key] for key in ("recall@1", "map@r")}
            for name, scores in (("val", logs), ("test", test.scores))
        }
