"""Readers of other libraries' data sets, on files that those libraries wrote."""

import sys
from pathlib import Path

import numpy as np
import pytest

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.datasets import DATASETS, Splits
from tests.datasets import foreign

datasets = pytest.importorskip("datasets", reason="optional: pip install datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()
    return tmp_path / "cache"


def classes(splits: Splits) -> tuple[list[str], list[str]]:
    return tuple(
        [part.class_names[label] for label in part.labels]
        for part in (splits.train, splits.query)
    )


def check_fruit(splits: Splits, names: tuple[str, ...] = foreign.NAMES) -> None:
    train, test = classes(splits)
    assert sorted(train) == sorted(names[label] for label in foreign.TRAIN)
    assert sorted(test) == sorted(names[label] for label in foreign.TEST)
    expected = {
        content: names[label]
        for content, label in foreign.samples(foreign.TRAIN, len(foreign.TRAIN))
    }
    found = dict(zip(foreign.contents(splits.train.paths), train, strict=True))
    assert found == expected  # Byte by byte, each with its own class.


def test_parquet_with_an_image_column_is_read(tmp_path: Path) -> None:
    root = foreign.write_hf(tmp_path / "parquet")
    spec = f"hf(path={root}, group=camera)"
    splits = DATASETS.build(spec)
    check_fruit(splits)
    assert sorted(set(splits.train.groups.tolist())) == [0, 1]
    # The second time it is there already.
    written = [Path(path).stat().st_mtime_ns for path in splits.train.paths]
    again = DATASETS.build(spec)
    assert [Path(path).stat().st_mtime_ns for path in again.train.paths] == written


def test_a_set_that_was_saved_to_disk_is_read(tmp_path: Path) -> None:
    root = foreign.write_hf(tmp_path / "parquet")
    datasets.load_dataset(str(root)).save_to_disk(tmp_path / "disk")
    check_fruit(DATASETS.build("hf", data_dir=str(tmp_path / "disk")))


def test_binary_columns_and_pixels_are_images_too(tmp_path: Path) -> None:
    rows = foreign.samples(foreign.TRAIN, len(foreign.TRAIN))
    tests = foreign.samples(foreign.TEST, len(foreign.TEST))
    binary = {
        split: datasets.Dataset.from_dict(
            {
                "picture": [c for c, _ in part],
                "kind": [foreign.NAMES[n] for _, n in part],
            }
        )
        for split, part in (("train", rows), ("test", tests))
    }
    datasets.DatasetDict(binary).save_to_disk(tmp_path / "binary")
    spec = f"hf(path={tmp_path / 'binary'}, image=picture, label=kind)"
    check_fruit(DATASETS.build(spec))
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 6, 3), np.uint8)
    arrays = datasets.Dataset.from_dict(
        {"image": pixels, "label": list(foreign.TRAIN)},
        features=datasets.Features(
            {
                "image": datasets.Array3D((8, 6, 3), "uint8"),
                "label": datasets.Value("int32"),
            }
        ),
    )
    datasets.DatasetDict({"all": arrays}).save_to_disk(tmp_path / "arrays")
    splits = DATASETS.build(
        f"hf(path={tmp_path / 'arrays'}, train=all, test_share=0.4)"
    )
    stored = [foreign.array_of(path) for path in splits.train.paths]
    assert stored
    assert all(any(np.array_equal(a, b) for b in pixels) for a in stored)
    assert len(stored) + len(splits.query) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("label=lable", "image, label, camera.*Did you mean 'label'"),
        ("test=tset", "train, test.*Did you mean 'test'"),
        ("test_share=1.5", "test_share=1.5.*between 0 and 1"),
        ("test=train", "in both train and test.*test_share=0.5 make"),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, options: str, message: str) -> None:
    root = foreign.write_hf(tmp_path / "parquet")
    with pytest.raises(ValueError, match=message):
        DATASETS.build(f"hf(path={root}, {options})")


def test_no_data_set_named_is_a_wrong_flag() -> None:
    for spec in ("hf", "tfds"):
        with pytest.raises(UsageError, match="needs to know which"):
            DATASETS.build(spec)


@pytest.mark.parametrize("name", ["datasets", "tensorflow_datasets"])
def test_a_missing_library_says_how_to_install_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    specs = {
        "datasets": "hf(path=a)",
        "tensorflow_datasets": "tfds(name=a)",
    }
    with pytest.raises(UsageError, match="pip install"):
        DATASETS.build(specs[name], data_dir=str(tmp_path))


def test_shards_are_read(tmp_path: Path) -> None:
    root = str(foreign.write_webdataset(tmp_path / "shards"))
    digits = tuple(str(number) for number in range(len(foreign.NAMES)))
    check_fruit(DATASETS.build("webdataset", data_dir=root), digits)
    spec = "webdataset(train=train-{0..1}.tar, label=json.fruit)"
    check_fruit(DATASETS.build(spec, data_dir=root))
    for options, message in (
        ("train=train-{0..4}.tar", "found 2 shards.*expected 5"),
        ("label=txt", "found jpg, cls, json; expected 'txt'"),
        ("label=json.kind", "fields fruit in json; expected 'kind'"),
    ):
        with pytest.raises(ValueError, match=message):
            DATASETS.build(f"webdataset({options})", data_dir=root)


def test_tensorflow_datasets_are_read(tmp_path: Path) -> None:
    root = str(foreign.write_tfds(tmp_path / "tfds"))
    check_fruit(DATASETS.build("tfds(name=tiny_fruit)", data_dir=root))
    with pytest.raises(ValueError, match=r"expected 'lable'.*Did you mean 'label'"):
        DATASETS.build("tfds(name=tiny_fruit, label=lable)", data_dir=root)


def test_commands_take_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = foreign.write_hf(tmp_path / "parquet")
    assert cli.main(["data", f"--dataset=hf(path={root})"]) == 0
    assert "10" in capsys.readouterr().out
