"""What a mix of data sets changes in a run."""

import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.loading import load_data, read_splits
from dce_tf.runs.mixing import build_sampler, check_mix, describe_mix, warn_of_copies
from dce_tf.runs.train import train
from dce_tf.sampling.by_source import BySource
from dce_tf.sampling.class_balanced import ClassBalanced
from tests import fakes

SPEC = "mix(csv=shop, folder=shelf)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fakes.write_mix(tmp_path / "mix", 8, 4, ("train", "query", "gallery"))


def settings(root: Path, **changes) -> Config:
    return Config(
        **{
            "dataset": SPEC,
            "data_dir": str(root),
            "log_dir": str(root.parent / "log"),
            "val_fraction": 0.3,
            **changes,
        }
    )


def load(root: Path, **changes) -> Splits:
    config = settings(root, **changes)
    return load_data(config, root.parent / "bad.json", Display(quiet=True)).splits


def test_each_source_is_split_by_class(root: Path) -> None:
    splits = load(root)
    for number in range(2):
        train, val = (
            part.of_source(number).select(np.arange(len(part.of_source(number))))
            for part in (splits.train, splits.val)
        )
        assert (len(train.class_names), len(val.class_names)) == (6, 2)


def test_folds_cut_each_source(root: Path) -> None:
    held = [load(root, num_folds=2, fold=fold, val_fraction=0.1).val for fold in (0, 1)]
    assert [val.numbers_of_sources() for val in held] == [{0, 1}] * 2
    assert not set(held[0].class_names) & set(held[1].class_names)


def test_broken_images_are_counted_by_source(root: Path) -> None:
    for path in sorted((root / "shelf" / "query").rglob("*.jpg"))[:3]:
        path.write_bytes(b"")
    # 3 of 96 are few of the 160 of both, and too many of their own.
    with pytest.raises(ValueError, match=r"^shelf: 3 of 96 images are broken, the fir"):
        load(root, max_bad_images=0.025)
    splits = load(root, max_bad_images=0.04)
    assert "3 of 160 images are broken" in splits.warnings[-1]
    assert "; 0 of shop, 3 of shelf; all are listed" in splits.warnings[-1]
    assert len(splits.tests[0].query) == len(splits.parts()["shop: test"]) + 32 - 3


def test_samplers_go_by_the_settings(root: Path) -> None:
    train = load(root).train
    plain = settings(root, mix_batches="mixed").loss
    assert isinstance(build_sampler(plain, train), ClassBalanced)
    sampler = build_sampler(settings(root, mix_weights="equal").loss, train)
    assert isinstance(sampler, BySource)
    assert (sampler.batches, sampler.weights) == ("source", "equal")
    assert sampler.sources is train.sources


def test_settings_of_a_mix_are_refused_for_one_data_set(root: Path) -> None:
    config = settings(root, dataset="csv", data_dir=str(root / "shop"))
    splits = read_splits(config.data)
    check_mix(splits, config)
    for flag, value in (("mix_batches", "mixed"), ("mix_weights", "equal")):
        changed = config.replace(**{flag: value})
        with pytest.raises(UsageError, match=f"--{flag}={value} is for several data"):
            check_mix(splits, changed)
    assert describe_mix(splits, config) == []
    assert warn_of_copies(splits) is splits


def test_a_source_of_one_class_is_refused_for_batches_of_one_source(
    root: Path,
) -> None:
    index = root / "shop" / "index.csv"
    lines = index.read_text().splitlines()
    few = [line for line in lines if ",train" not in line or "/00." in line]
    few += [line for line in lines if "id_00000000/01.jpg" in line]
    index.write_text("\n".join([*few, ""]))
    config = settings(root)
    splits = read_splits(config.data)
    with pytest.raises(UsageError, match=r"shop has 1 training classes .*=mixed"):
        check_mix(splits, config)
    check_mix(splits, config.replace(mix_batches="mixed"))


def test_near_classes_are_to_fill_a_batch_of_one_source(root: Path) -> None:
    config = settings(root, sampler="neighbours", batch_size=40)
    splits = read_splits(config.data)
    with pytest.raises(UsageError, match=r"the 8 classes of shop .* --batch_size=32"):
        check_mix(splits, config)
    check_mix(splits, config.replace(batch_size=32))
    check_mix(splits, config.replace(mix_batches="mixed"))
    said = describe_mix(
        splits, config.replace(mix_batches="mixed", mix_weights="equal")
    )
    assert "within each source" in said[-1]


def test_what_a_batch_is_of_is_said_at_the_start(root: Path) -> None:
    splits = load(root)
    said = describe_mix(splits, settings(root, num_clusters=2))
    assert said[0] == (
        "shop: train 24 images of 6 classes, val 8 images of 2 classes, test 32 images "
        "of 8 classes."
    )
    assert said[1].endswith(
        "query 32 images of 8 classes, gallery 32 images of 8 classes."
    )
    assert said[2] == (
        "Each batch is of one source; a source comes up in proportion to its images."
    )
    assert "Where no source has two" in said[3]
    (*_, text) = describe_mix(splits, settings(root, mix_weights="equal"))
    assert text.endswith("; all sources come up equally often.")


def test_copies_in_two_sources_are_told(root: Path) -> None:
    splits = read_splits(settings(root).data)
    assert warn_of_copies(splits) is splits
    image = next((root / "shop").rglob("train/*/00.jpg"))
    copy = next((root / "shelf").rglob("query/*/00.jpg"))
    shutil.copy(image, copy)
    (text,) = warn_of_copies(splits).warnings
    assert text.startswith("1 of 160 images is in more than one source, byte")
    assert f"{image} of shop and {copy} of shelf" in text


SMALL = {
    "backbone": "small",
    "image_size": 32,
    "embedding_dim": 16,
    "batch_size": 8,
    "num_clusters": 2,
    "num_epochs": 2,
    "finetune_epoch": 1,
    "recluster_every": 1,
    "loss": "multi_similarity",
    "export": False,
}


class EndedError(Exception):
    """What ends a run in the middle."""


class EndAfterOne(keras.callbacks.Callback):
    """Ends a run after its first epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if epoch == 1:
            raise EndedError


def lines_of(run: Path) -> list[dict]:
    return [
        json.loads(line)
        for line in (run / "metrics.jsonl").read_text().split("\n")[:-1]
    ]


@pytest.mark.slow
def test_a_run_scores_every_source_and_goes_on_exactly(root: Path, capsys) -> None:
    whole = settings(root, dir="whole", **SMALL)
    report = train(whole)
    assert list(report["tests"]) == ["merged", "shop", "shelf"]
    assert report["after"] == report["tests"]["merged"]["scores"]
    by_source = report["tests"]["merged"]["by_source"]
    assert list(by_source) == ["shop", "shelf"]
    halves = [by_source[name]["recall@1"] for name in by_source]
    assert report["after"]["recall@1"] == pytest.approx(sum(halves) / 2)
    lines = lines_of(RunDirectory.of(whole).path)
    for line in lines:
        assert {"recall@1", "shop/recall@1", "shelf/map@r"} <= set(line)
    out = " ".join(capsys.readouterr().out.split())
    assert "Search 'merged', by the source of the query" in out
    assert "Each batch is of one source" in out

    cut = settings(root, dir="cut", **SMALL)
    with pytest.raises(EndedError):
        train(cut, [EndAfterOne()])
    # The sources may have moved meanwhile.
    moved = root.rename(root.with_name("moved"))
    train(cut.replace(data_dir=str(moved)))
    again = lines_of(RunDirectory.of(cut).path)
    timed = re.compile("seconds|images_per_second")
    assert [
        {k: v for k, v in line.items() if not timed.match(k)} for line in lines
    ] == [{k: v for k, v in line.items() if not timed.match(k)} for line in again]

    run = str(RunDirectory.of(cut).path)
    assert cli.main(["evaluate", run, "--rerank=query_expansion"]) == 0
    scored = json.loads(Path(run, "evaluation.json").read_text())
    assert list(scored["reranked"]["query_expansion"]) == ["shop", "shelf"]
    assert "merged is not re-ranked" in scored["warnings"][-1]
    assert scored["tests"]["merged"]["by_source"].keys() == by_source.keys()
