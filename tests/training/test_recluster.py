from pathlib import Path

import numpy as np
import pytest

from dce_tf.training import recluster
from dce_tf.training.recluster import Recluster, load_division
from dce_tf.training.schedule import Schedule

LABELS = np.repeat(np.arange(8), 4).astype(np.int32)


def features(epoch: int = 0) -> np.ndarray:
    rng = np.random.default_rng(epoch)
    return rng.normal(size=(len(LABELS), 5)).astype(np.float32) + LABELS[:, None]


class Runs:
    """A callback, and what it asked for and delivered."""

    def __init__(self, folder: Path | None = None, **schedule) -> None:
        self.passes = 0
        self.delivered = []
        stages = Schedule(6, 4, 5, num_clusters=2, **schedule)
        self.recluster = Recluster(
            LABELS,
            stages,
            self.extract,
            lambda division, _: self.delivered.append(division),
            folder=folder,
        )

    def extract(self) -> np.ndarray:
        self.passes += 1
        return features(self.passes)

    def begin(self, *epochs: int) -> list[dict]:
        logs = [{} for _ in epochs]
        for epoch, log in zip(epochs, logs, strict=True):
            self.recluster.on_epoch_begin(epoch, log)
        return logs


def test_divides_every_few_epochs_until_finetuning() -> None:
    runs = Runs()
    logs = runs.begin(*range(6))
    assert runs.passes == 3
    assert ["cluster_sizes" in log for log in logs] == [True, False] * 2 + [True, False]
    assert [division.num_clusters for division in runs.delivered] == [2] * 5 + [1]
    assert runs.delivered[0] is runs.delivered[1]


def test_its_seconds_are_told_by_part() -> None:
    first, second = Runs().begin(0, 1)
    assert all(
        first[f"seconds_{part}"] > 0 for part in ("features", "kmeans", "division")
    )
    assert set(second) == {"seconds_division"}


def test_division_that_stays_in_force_is_not_told_as_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_, **__) -> None:
        raise RuntimeError("FAISS says no")

    runs = Runs(tmp_path)
    runs.begin(0, 1, 2)
    monkeypatch.setattr(recluster, "divide", fail)
    with pytest.warns(UserWarning, match=r"clustered \(FAISS says no\): the last"):
        (log,) = runs.begin(4)
    assert log["seconds_kmeans"] == 0
    for key in ("matching_cost", "kept", "division_nmi"):
        assert log[key] is None
    stored = load_division(tmp_path / "epoch-0004.npz")
    assert stored.kept is None
    np.testing.assert_array_equal(stored.membership, runs.delivered[2].membership)


@pytest.mark.parametrize("begun", [False, True])
def test_epoch_that_has_begun_is_not_divided_again(tmp_path: Path, begun: bool) -> None:
    runs = Runs(tmp_path)
    runs.begin(0, 1, 2)
    again = Runs(tmp_path)
    again.passes = 1  # What the features of the second division are.
    again.recluster.restore(2, begun=begun)
    (log,) = again.begin(2)
    assert ("cluster_sizes" in log) != begun
    np.testing.assert_array_equal(
        again.delivered[0].assignment, runs.delivered[2].assignment
    )
    again.begin(3, 4)
    assert again.passes == (2 if begun else 3)


def test_how_long_it_took_is_not_stored(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.begin(0)
    assert runs.delivered[0].kmeans_seconds > 0
    (path,) = tmp_path.iterdir()
    assert load_division(path).kmeans_seconds == 0
