from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.bookkeeping import stateful_variables
from dce_tf.runs.loading import load_data
from dce_tf.runs.network import build_trainer
from dce_tf.runs.sources import config_for, find_source
from dce_tf.training.checkpoints import Checkpoints, RunProgress
from dce_tf.training.pipelines import FileReader
from tests import fakes


@pytest.mark.parametrize(
    "held_out", [{"num_folds": 3, "fold": 1}, {"val_fraction": 0.3}]
)
def test_other_data_need_not_be_such_as_can_be_trained_on(
    tmp_path: Path, held_out: dict
) -> None:
    run = RunDirectory(tmp_path / "run")
    run.prepare(Config(dataset="whale", num_clusters=8, **held_out))
    source = find_source(run.path)
    assert config_for(source, {"data_dir": "moved"}).data.fold == held_out.get("fold")
    root = fakes.write_csv(tmp_path / "data", num_classes=2, images_per_class=2)
    config = config_for(source, {"dataset": "csv", "data_dir": str(root)})
    splits = load_data(config, tmp_path / "bad.json", Display(quiet=True)).splits
    assert splits.val is None
    assert len(splits.tests[0].query) == 4


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "proxy_anchor", "trainable_blocks": 1},
        {"loss": "margin(learn_beta=class)", "parts": "masks", "pooling": "gem"},
    ],
)
def test_checkpoint_of_a_run_with_ema_is_its_average(
    config: Config, settings: dict
) -> None:
    config = config.replace(ema=0.9, **settings)
    run = RunDirectory.of(config)
    run.prepare(config)
    trainer = build_trainer(config, np.full(5, 2), tf.distribute.get_strategy())
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save_best(trainer.model, epoch=0)
    checkpoints.publish_best(0)
    for variable in trainer.model.variables:
        variable.assign(keras.random.uniform(variable.shape, seed=1))
    for average in trainer.average.variables:
        average.assign(keras.random.uniform(average.shape, seed=2))
    checkpoints.save(RunProgress(epoch=0), stateful_variables(trainer))
    (path,) = run.checkpoints.glob("epoch-*.npz")
    embedder = find_source(path).open(config, FileReader())
    with trainer.average.in_place():
        expected = [np.asarray(each) for each in trainer.model.variables]
    for got, wanted in zip(embedder.model.variables, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
