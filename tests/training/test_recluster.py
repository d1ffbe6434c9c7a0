from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dce_tf.record import EpochRecord
from dce_tf.training import divisions, recluster
from dce_tf.training.divisions import keep_rows, load_division
from dce_tf.training.recluster import Recluster
from dce_tf.training.schedule import Schedule

LABELS = np.repeat(np.arange(8), 4).astype(np.int32)


def features(epoch: int = 0) -> np.ndarray:
    rng = np.random.default_rng(epoch)
    return rng.normal(size=(len(LABELS), 5)).astype(np.float32) + LABELS[:, None]


class Runs:
    """A callback, and what it asked for and delivered."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        with_means: bool = False,
        by: str = "images",
        **schedule,
    ) -> None:
        self.passes = 0
        self.delivered = []
        stages = Schedule(6, 4, 5, num_clusters=2, **schedule)
        self.recluster = Recluster(
            LABELS,
            stages,
            self.extract,
            lambda division, _: self.delivered.append(division),
            folder=folder,
            with_means=with_means,
            by=by,
        )

    def extract(self) -> np.ndarray:
        self.passes += 1
        return features(self.passes)

    def begin(self, *epochs: int) -> list[EpochRecord]:
        records = [EpochRecord(epoch, "divide") for epoch in epochs]
        for record in records:
            self.recluster.set_params({"record": record})
            self.recluster.on_epoch_begin(record.epoch, record.logs)
        return records


def test_divides_every_few_epochs_until_finetuning() -> None:
    runs = Runs()
    records = runs.begin(*range(6))
    assert runs.passes == 3
    told = ["cluster_sizes" in record.lists for record in records]
    assert told == [True, False] * 2 + [True, False]
    assert sum(records[0].lists["cluster_sizes"]) == len(LABELS)
    assert [division.num_clusters for division in runs.delivered] == [2] * 5 + [1]
    assert runs.delivered[0] is runs.delivered[1]


def test_its_seconds_are_told_by_part() -> None:
    first, second = Runs().begin(0, 1)
    assert all(
        first.logs[f"seconds_{part}"] > 0 for part in ("features", "kmeans", "division")
    )
    assert set(second.logs) == {"seconds_division"}


def test_division_that_stays_in_force_is_not_told_as_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_, **__) -> None:
        raise RuntimeError("FAISS says no")

    runs = Runs(tmp_path)
    runs.begin(0, 1, 2)
    monkeypatch.setattr(recluster, "divide", fail)
    with pytest.warns(UserWarning, match=r"clustered \(FAISS says no\): the last"):
        (record,) = runs.begin(4)
    assert record.logs["seconds_kmeans"] == 0
    assert not {"matching_cost", "kept", "division_nmi"} & set(record.logs)
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
    (record,) = again.begin(2)
    assert ("cluster_sizes" in record.lists) != begun
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


def test_stored_divisions_are_rewritten_for_the_images_that_are_left(
    tmp_path: Path,
) -> None:
    Runs(tmp_path).begin(0, 1, 2)
    before = [load_division(path) for path in sorted(tmp_path.iterdir())]
    rows = np.delete(np.arange(len(LABELS)), [1, 2, 3])
    for _ in range(2):  # Again, as where it was cut short.
        keep_rows(tmp_path, rows, LABELS[rows])
        after = [load_division(path) for path in sorted(tmp_path.iterdir())]
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(new.membership, old.membership[rows])
            # The first class has one image left, which has no positive.
            assert new.assignment[0] == -1
            np.testing.assert_array_equal(new.assignment[1:], old.assignment[4:])
            np.testing.assert_array_equal(new.centroids, old.centroids)


def test_means_are_gone_before_the_last_division_says_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Runs(tmp_path, with_means=True).begin(0)
    (means,) = tmp_path.glob("means-*.npy")
    save = divisions.save_division

    def stop(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(divisions, "save_division", stop)
    with pytest.raises(KeyboardInterrupt):
        keep_rows(tmp_path, np.arange(20), LABELS[:20])
    assert not means.exists()


def test_division_of_other_images_is_not_gone_on_with(tmp_path: Path) -> None:
    Runs(tmp_path).begin(0)
    keep_rows(tmp_path, np.arange(20), LABELS[:20])
    with pytest.raises(ValueError, match=r"is of 20 training images; expected 32"):
        Runs(tmp_path).recluster.restore(1)


def test_it_divides_in_plain_keras_too() -> None:
    runs, logs = Runs(), {}
    runs.recluster.on_epoch_begin(0, logs)
    runs.recluster.on_epoch_begin(2, logs)
    assert 0 <= logs["kept"] <= 1
    assert "cluster_sizes" not in logs


def test_means_of_the_classes_are_made_with_one_cluster_and_in_the_end() -> None:
    runs = Runs(with_means=True, recluster_every=2)
    runs.begin(*range(6))
    # Divisions and means share a pass; the last stage has means alone.
    assert runs.passes == 3
    means = [division.class_means for division in runs.delivered]
    assert all(each.shape == (8, 5) for each in means)
    assert means[0] is means[1]
    assert np.any(means[0] != means[2])
    assert means[4] is means[5]
    assert Runs().begin(0)
    assert runs.delivered[5].num_clusters == 1


def test_means_of_the_classes_are_resumed(tmp_path: Path) -> None:
    runs = Runs(tmp_path, with_means=True)
    runs.begin(0, 1, 2, 3)
    again = Runs(tmp_path, with_means=True)
    again.recluster.restore(3)
    again.begin(3)
    assert again.passes == 0
    np.testing.assert_array_equal(
        again.delivered[0].class_means, runs.delivered[3].class_means
    )


def test_means_are_made_again_for_other_images(tmp_path: Path) -> None:
    Runs(tmp_path, with_means=True).begin(0)
    assert list(tmp_path.glob("means-*.npy"))
    rows = np.arange(len(LABELS) - 4)
    keep_rows(tmp_path, rows, LABELS[rows])
    assert not list(tmp_path.glob("means-*.npy"))


def test_classes_that_are_dealt_out_need_no_features() -> None:
    runs = Runs(by="random")
    runs.begin(*range(5))
    assert runs.passes == 0
    assert all(division.num_clusters == 2 for division in runs.delivered)
