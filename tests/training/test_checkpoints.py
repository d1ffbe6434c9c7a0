from pathlib import Path

import keras
import numpy as np
import pytest

from dce_tf.training.checkpoints import Checkpoints, RunProgress


def variables(value: float = 0.0) -> list[keras.Variable]:
    return [
        keras.Variable(np.full((2, 3), value), dtype="float32"),
        keras.Variable(np.full((), value + 1), dtype="float32"),
    ]


def saved(folder: Path, epochs: int = 3, keep: int = 2) -> Checkpoints:
    checkpoints = Checkpoints(folder, keep)
    for epoch in range(epochs):
        progress = RunProgress(epoch, step=10 * epoch, history=[{"epoch": epoch}])
        checkpoints.save(progress, variables(epoch))
    return checkpoints


def test_newest_is_restored_and_the_oldest_removed(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "epoch-00002.npz",
        "epoch-00003.npz",
    ]
    fresh = variables()
    progress = checkpoints.restore(fresh)
    assert progress == RunProgress(2, step=20, history=[{"epoch": 2}])
    assert fresh[0].numpy().tolist() == [[2.0] * 3] * 2
    assert float(fresh[1]) == 3


def test_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    newest = tmp_path / "epoch-00003.npz"
    data = bytearray(newest.read_bytes())
    data[len(data) // 3] ^= 0xFF
    newest.write_bytes(data)
    assert checkpoints.restore(variables()).epoch == 1
    newest.write_bytes(data[:100])
    assert checkpoints.restore(variables()).epoch == 1


def test_only_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"None of the checkpoints.*--overwrite"):
        checkpoints.restore(variables())


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").restore(variables()) is None


def test_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is of another network"):
        saved(tmp_path).restore(variables()[:1])


def test_failed_write_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = saved(tmp_path)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(RunProgress(3), variables())
    monkeypatch.undo()
    assert checkpoints.restore(variables()).epoch == 2
    assert not list(tmp_path.glob(".tmp-*"))


def partial(epoch: int, steps: int) -> RunProgress:
    return RunProgress(epoch, step=10 * (epoch + 1) + steps, partial={"steps": steps})


def test_checkpoints_within_an_epoch_come_after_it(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path, epochs=2, keep=3)
    for steps in (9, 10):
        checkpoints.save(partial(1, steps), variables(steps))
    assert checkpoints.restore(variables()).partial == {"steps": 10}
    (tmp_path / "epoch-00002-step-0000010.npz").write_bytes(b"")
    assert checkpoints.restore(variables()).partial == {"steps": 9}
    checkpoints.save(RunProgress(2, step=30), variables(3))
    assert checkpoints.restore(variables()) == RunProgress(2, step=30)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "epoch-00002-step-0000009.npz",
        "epoch-00002-step-0000010.npz",
        "epoch-00003.npz",
    ]


def test_gathered_features_are_kept(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(RunProgress(0, features=features), variables(5))
    fresh = variables()
    np.testing.assert_array_equal(checkpoints.restore(fresh).features, features)
    assert float(fresh[1]) == 6


def test_files_of_others_beside_the_best_model_stay(tmp_path: Path) -> None:
    own = ["best-00001.keras", "best-00003.txt", "best-copy.npz", "best-copy.keras"]
    for name in own:
        (tmp_path / name).write_bytes(name.encode())
    checkpoints = Checkpoints(tmp_path)
    checkpoints.publish_best(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(own[1:])
    (tmp_path / "best-00003.keras").write_bytes(b"best")
    checkpoints.publish_best(3)
    assert checkpoints.best_model.read_bytes() == b"best"
