import json
from pathlib import Path

import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.images import scan
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.loading import check_trainable, load_data, selection_search
from dce_tf.runs.train import train
from tests import fakes


def load(root: Path, **settings) -> tuple[Config, Splits]:
    given = {"dataset": "folder", "num_clusters": 2, **settings}
    config = Config(data_dir=str(root), log_dir=str(root / "log"), **given)
    run = RunDirectory.of(config)
    return config, load_data(config, run.bad_images_file, Display()).splits


def test_validation_classes_are_held_out_of_training(tmp_path: Path) -> None:
    root = fakes.write_folder(tmp_path, num_classes=10, images_per_class=3)
    config, splits = load(root, val_fraction=0.3)
    assert len(splits.val.class_names) == 3
    assert len(splits.train.class_names) == 7
    assert not set(splits.val.class_names) & set(splits.train.class_names)
    search = selection_search(splits, config)
    assert search.name == "val"
    assert search.query is search.gallery is splits.val


def test_own_validation_split_is_used(tmp_path: Path) -> None:
    parts = ("train", "val", "query", "gallery")
    root = fakes.write_folder(tmp_path, 6, images_per_class=3, splits=parts)
    config, splits = load(root)
    assert len(splits.train) == len(splits.val) == 18
    search = selection_search(splits, config)
    assert search.name == "val"
    assert search.query is search.gallery is splits.val


def test_selecting_on_test_trains_on_all_classes(tmp_path: Path) -> None:
    parts = ("train", "query", "gallery")
    root = fakes.write_folder(tmp_path, 6, images_per_class=3, splits=parts)
    config, splits = load(root, val_fraction=0, select_on="test")
    assert len(splits.train.class_names) == 6
    assert selection_search(splits, config) is splits.tests[0]


def test_each_fold_holds_out_other_classes(tmp_path: Path) -> None:
    root = fakes.write_folder(tmp_path, num_classes=10, images_per_class=3)
    held = [load(root, num_folds=2, fold=fold)[1].val.class_names for fold in (0, 1)]
    assert sorted(held[0] + held[1]) == sorted(p.name for p in root.glob("train/*"))


def test_folds_beside_a_validation_split_are_refused(tmp_path: Path) -> None:
    parts = ("train", "val", "query", "gallery")
    root = fakes.write_folder(tmp_path, 6, images_per_class=3, splits=parts)
    with pytest.raises(ValueError, match="has a validation split of its own"):
        load(root, num_folds=2, fold=0)


def test_nothing_to_select_on_is_refused(tmp_path: Path) -> None:
    root = fakes.write_folder(tmp_path, num_classes=6, images_per_class=3)
    with pytest.raises(ValueError, match="nothing to choose the best epoch on"):
        load(root, val_fraction=0)


@pytest.mark.parametrize(
    ("num_classes", "settings", "nearest"),
    [
        (10, {}, 4),
        (18, {}, 4),  # There are classes for 7, which 128 dimensions do not share.
        (18, {"parts": "masks"}, 7),
        (18, {"parts": "masks", "hierarchical": True}, 4),
    ],
)
def test_more_clusters_than_classes_allow_names_the_nearest(
    tmp_path: Path, num_classes: int, settings: dict, nearest: int
) -> None:
    root = fakes.write_folder(tmp_path, num_classes, images_per_class=3)
    config, splits = load(root, num_clusters=8, val_fraction=0.2, **settings)
    with pytest.raises(UsageError, match=f"too many.*--num_clusters={nearest}\\."):
        check_trainable(splits.train, config)


def test_training_is_refused_before_the_network_is_built(tmp_path: Path) -> None:
    root = fakes.write_folder(tmp_path, 6, images_per_class=3)
    where = {"data_dir": str(root), "log_dir": str(tmp_path / "log")}
    config = Config(dataset="folder", num_clusters=8, **where)
    with pytest.raises(UsageError, match="--num_clusters=8 is too many"):
        train(config, display=Display(quiet=True))


def test_broken_images_keep_query_and_gallery_numbered_alike(tmp_path: Path) -> None:
    parts = ("train", "query", "gallery")
    root = fakes.write_folder(tmp_path, 6, images_per_class=4, splits=parts)
    for path in sorted((root / "gallery").rglob("*.jpg"))[:4]:
        path.write_bytes(b"")
    _, splits = load(root, max_bad_images=0.5, val_fraction=0.4)
    assert splits.query.class_names == splits.gallery.class_names
    for split in (splits.query, splits.gallery):
        names = np.asarray(split.class_names)[split.labels]
        assert names.tolist() == [Path(path).parent.name for path in split.paths]
    assert "are broken" in splits.warnings[-1]


def test_search_for_broken_images_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fakes.write_folder(tmp_path, num_classes=10, images_per_class=3)
    load(root, val_fraction=0.2)
    monkeypatch.setattr("dce_tf.runs.broken.find_broken", None)
    load(root, val_fraction=0.2)


def test_another_run_need_not_look_at_images_that_were_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fakes.write_folder(tmp_path / "data", num_classes=10, images_per_class=3)
    looked = []

    def look(paths: list[str], **options: object) -> dict[str, str]:
        looked.append(len(paths))
        return scan.find_broken(paths, **options)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("dce_tf.runs.broken.find_broken", look)
    load(root, val_fraction=0.2)
    load(root, val_fraction=0.2, exp="quick")
    assert len(looked) == 2
    monkeypatch.setattr("dce_tf.runs.broken._WORTH_SECONDS", 0.0)
    splits = [load(root, val_fraction=0.2, exp=exp)[1] for exp in ("slow", "again")]
    assert len(looked) == 3
    assert splits[0].train.paths == splits[1].train.paths
    Path(splits[0].train.paths[0]).write_bytes(b"")
    for exp in ("broken", "still"):  # Which is not kept.
        load(root, val_fraction=0.2, exp=exp, max_bad_images=0.5)
    assert len(looked) == 5


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "query", "gallery")])
def test_epoch_is_chosen_on_whole_classes_of_so_many_images(
    tmp_path: Path, splits: tuple[str, ...]
) -> None:
    root = fakes.write_folder(tmp_path, 20, images_per_class=3, splits=splits)
    settings = {"select_on": "test", "val_fraction": 0, "num_clusters": 1}
    config, data = load(root, **settings, eval_images=13)
    search = selection_search(data, config)
    each = 3 if len(splits) == 2 else 6
    assert search.leave_one_out == (len(splits) == 2)
    for part in {id(p): p for p in (search.query, search.gallery)}.values():
        assert len(np.unique(part.labels)) == 13 // each
        counts = np.unique(part.labels, return_counts=True)[1]
        assert set(counts) == {3}
    again = selection_search(data, config)
    assert again.query.paths == search.query.paths
    other, _ = load(root, **settings, eval_images=13, random_seed=1)
    assert selection_search(data, other).query.paths != search.query.paths
    least, _ = load(root, **settings, eval_images=1)
    assert len(np.unique(selection_search(data, least).query.labels)) == 2


def test_cached_images_are_looked_at_once_by_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fakes.write_folder(tmp_path / "data", num_classes=10, images_per_class=3)
    broken = next((root / "train").rglob("*.jpg"))
    broken.write_text("no image")
    given = {
        "dataset": "folder",
        "data_dir": str(root),
        "num_clusters": 2,
        "val_fraction": 0.2,
        "max_bad_images": 0.1,
        "cache_images": True,
        "cache_dir": str(tmp_path / "cache"),
        "image_size": 32,
    }
    for run in range(2):
        bad = tmp_path / f"bad-{run}.json"
        splits, reader, *_ = load_data(Config(**given), bad, Display())
        assert list(json.loads(bad.read_text())) == [str(broken)]
        assert str(broken) not in splits.train.paths
        assert len(reader.keys(splits.train.paths)) == len(splits.train)
        monkeypatch.setattr("dce_tf.images.image_cache.examine", None)


def ten_classes(tmp_path: Path) -> tuple[Config, Path]:
    root = fakes.write_folder(tmp_path / "data", num_classes=10, images_per_class=4)
    settings = {"num_clusters": 2, "val_fraction": 0.2, "max_bad_images": 0.5}
    config = Config(dataset="folder", data_dir=str(root), **settings)
    return config, tmp_path / "bad.json"


def test_image_that_was_mended_stays_out_of_a_run(tmp_path: Path) -> None:
    config, bad = ten_classes(tmp_path)
    whole = load_data(config, bad, Display(quiet=True)).splits
    path = whole.train.paths[5]
    data = load_data(config, bad, Display(quiet=True), left_out={path: "was broken"})
    assert path not in data.splits.train.paths
    assert data.left_out == {path: "was broken"}
    assert data.rows is None
    assert "(was broken)" in data.splits.warnings[-1]


def test_rows_of_the_training_images_that_are_left_are_told(tmp_path: Path) -> None:
    config, bad = ten_classes(tmp_path)
    before = load_data(config, bad, Display(quiet=True)).splits
    first, second = (before.train.paths[row] for row in (2, 9))
    known = {first: "was broken"}
    Path(second).write_bytes(b"")
    bad.unlink()
    data = load_data(config, bad, Display(quiet=True), left_out=known)
    assert data.rows.tolist() == [
        row for row in range(len(before.train) - 1) if row != 8
    ]
    now = [before.train.paths[row] for row in range(len(before.train))]
    assert list(data.splits.train.paths) == [p for p in now if p not in (first, second)]


@pytest.mark.parametrize("part", ["test", "val", "whole class"])
def test_images_that_are_scored_and_classes_must_stay(
    tmp_path: Path, part: str
) -> None:
    config, bad = ten_classes(tmp_path)
    splits = load_data(config, bad, Display(quiet=True)).splits
    images = {"test": splits.query, "val": splits.val}.get(part, splits.train)
    for path in images.paths[: 4 if part == "whole class" else 1]:
        Path(path).write_bytes(b"")
    bad.unlink()
    with pytest.raises(
        ValueError,
        match=r"broken that were not when the run began.*put the images back",
    ):
        load_data(config, bad, Display(quiet=True), left_out={})
    # So that the same command goes on when they are back.
    assert json.loads(bad.read_text()) == {}
