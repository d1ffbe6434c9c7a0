"""What every registered data set keeps, on a tiny tree in its own format."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dce_tf.datasets import DATASETS, Splits, glyph_classes, glyphs
from tests import fakes
from tests.datasets import foreign

WRITERS: dict[str, Callable[[Path], Path]] = {
    "cars": fakes.write_cars,
    "cub": fakes.write_cub,
    "csv": fakes.write_csv,
    "folder": fakes.write_folder,
    "glyphs": lambda root: root,
    "hf": foreign.write_hf,
    "inshop": fakes.write_inshop,
    "mix": fakes.write_mix,
    "sop": fakes.write_sop,
    "tfds": foreign.write_tfds,
    "vid": fakes.write_vid,
    "webdataset": foreign.write_webdataset,
    "whale": fakes.write_whale,
}
SPECS = {"tfds": "tfds(name=tiny_fruit)", "mix": "mix(csv=shop, folder=shelf)"}


@pytest.fixture(params=list(DATASETS))
def splits(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Splits:
    few = [
        glyph_classes.GlyphClass(character, "LATIN", ("DejaVuSans", "DejaVuSerif"))
        for character in "ABEG"
    ]
    monkeypatch.setattr(glyphs, "choose_classes", lambda: few)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = WRITERS[request.param](tmp_path / "data")
    spec = SPECS.get(request.param, request.param)
    return DATASETS.build(spec, data_dir=str(root), allow_partial_data=True)


def test_labels_are_contiguous_and_named(splits: Splits) -> None:
    for part in (splits.train, splits.query, splits.gallery):
        assert part.labels.dtype == np.int32
        assert part.labels.shape == (len(part.paths),)
        assert np.unique(part.labels).tolist() == list(range(len(part.class_names)))
        assert sorted(part.class_names) == list(part.class_names)


def test_train_classes_are_in_no_other_split(splits: Splits) -> None:
    assert not set(splits.train.class_names) & set(splits.query.class_names)
    assert splits.query.class_names == splits.gallery.class_names


def test_paths_are_images_of_different_places(splits: Splits) -> None:
    # Of VehicleID's three tests, the larger hold images of the smaller.
    parts = dataclasses.replace(splits, tests=splits.tests[:1]).parts()
    paths = [path for part in parts.values() for path in part.paths]
    assert len(set(paths)) == len(paths)
    for path in paths:
        with Image.open(path) as image:
            image.load()


def test_recall_at_rises_from_one(splits: Splits) -> None:
    assert splits.recall_at[0] == 1
    assert list(splits.recall_at) == sorted(set(splits.recall_at))


def test_readers_need_no_tensorflow() -> None:
    code = (
        "import sys, dce_tf.datasets\n"
        "print({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
