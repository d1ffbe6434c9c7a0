"""What is on disk after each write of an epoch, should the next one not come."""

from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

from dce_tf.runs.bookkeeping import Bookkeeping
from dce_tf.training.checkpoints import Checkpoints, RunProgress


class Run:
    """A run of one weight, and what its epochs score."""

    def __init__(self, folder: Path, progress: RunProgress | None = None) -> None:
        (folder / "config.json").touch()
        self.model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        self.checkpoints = Checkpoints(folder)
        nothing = SimpleNamespace(variables=[])
        trainer = SimpleNamespace(
            model=self.model,
            loss=nothing,
            optimizer=nothing,
            average=None,
            loop=SimpleNamespace(step=SimpleNamespace(distillation=None)),
            step=0,
            stopping=False,
            workers=SimpleNamespace(is_chief=True),
        )
        directory = SimpleNamespace(
            path=folder,
            config_file=folder / "config.json",
            write_metrics=lambda _: None,
        )
        self.keeper = Bookkeeping(
            trainer, directory, self.checkpoints, progress or RunProgress()
        )
        self.keeper.set_model(self.model)
        self.model.stop_training = False

    def epoch(self, number: int, score: float) -> None:
        self.model.layers[0].bias.assign([number])
        self.keeper.on_epoch_end(number, {"recall@1": score, "map@r": 0.0})

    def best(self) -> float:
        model = keras.models.load_model(self.checkpoints.best_model)
        return float(model.layers[0].bias.numpy()[0])

    def resumed(self) -> "Run":
        progress = self.checkpoints.restore(self.model.variables)
        again = Run(self.checkpoints.folder, progress)
        again.keeper.publish_best()
        return again


@pytest.mark.parametrize(("lost", "best"), [("save", 0), ("publish_best", 1)])
def test_best_model_is_of_an_epoch_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, best: int
) -> None:
    def killed(*_) -> None:
        raise KeyboardInterrupt

    run = Run(tmp_path)
    run.epoch(0, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr(run.checkpoints, lost, killed)
        with pytest.raises(KeyboardInterrupt):
            run.epoch(1, 0.9)
    assert run.best() == 0
    again = run.resumed()
    assert again.keeper.progress.epoch == best
    assert again.best() == best
    again.epoch(best + 1, 0.7)
    assert again.best() == 1
    assert [path.name for path in tmp_path.glob("*.keras")] == ["best.keras"]


def test_end_that_a_callback_set_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.epoch(0, 0.5)
    assert not run.resumed().keeper.progress.stopped
    run.model.stop_training = True
    run.epoch(1, 0.6)
    assert run.resumed().keeper.progress.stopped
