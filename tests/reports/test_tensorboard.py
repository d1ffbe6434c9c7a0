from pathlib import Path

import numpy as np
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.data_provider import (
    MultiplexerDataProvider,
)
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.backend.event_processing.plugin_event_multiplexer import (
    EventMultiplexer,
)
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.projector import ProjectorConfig
from tensorboard.util import tensor_util

from dce_tf.reports.tensorboard import TensorBoardWriter, write_projector


def events(folder: Path) -> dict[str, list[tuple[int, str, object]]]:
    found: dict[str, list] = {}
    for path in sorted(folder.glob("events.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                kind = value.metadata.plugin_data.plugin_name
                data = tensor_util.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, kind, data))
    return found


def test_scalars_of_two_processes_are_one_curve(tmp_path: Path) -> None:
    for step, value in ((0, 0.25), (1, 0.5)):
        writer = TensorBoardWriter(tmp_path)
        writer.scalars(step, {"val/recall@1": value})
        writer.close()
    curve = sorted((s, float(v)) for s, _, v in events(tmp_path)["val/recall@1"])
    assert curve == [(0, 0.25), (1, 0.5)]


def test_every_kind_reaches_its_plugin(tmp_path: Path) -> None:
    writer = TensorBoardWriter(tmp_path)
    writer.text("settings", "| a |", 0)
    writer.image("sheet", np.zeros((4, 6, 3), np.uint8), 3)
    writer.histogram("distances", np.linspace(0, 1, 50, dtype=np.float32), 3)
    writer.hparams(
        "run-1", {"loss": "margin", "epochs": 4, "none": None}, {"test/recall@1": 0.5}
    )
    writer.close()
    kinds = {tag: entries[0][1] for tag, entries in events(tmp_path).items()}
    assert kinds["settings"] == "text"
    assert kinds["sheet"] == "images"
    assert kinds["distances"] == "histograms"
    assert kinds["_hparams_/session_start_info"] == "hparams"
    assert kinds["test/recall@1"] == "scalars"


def test_hparams_show_what_varies_first_beside_test_scores_alone(
    tmp_path: Path,
) -> None:
    for clusters in (1, 4):
        run = tmp_path / f"K-{clusters}" / "tensorboard"
        curves = TensorBoardWriter(run)
        curves.scalars(1, {"val/recall@1": 0.5, "loss": 0.1})
        curves.close()
        settings = {"augmentation": "paper", "num_clusters": clusters, "zeal": 1}
        writer = TensorBoardWriter(run / "test")
        writer.hparams(f"K-{clusters}", settings, {"test/recall@1": 0.5})
        writer.close()
    runs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    provider = MultiplexerDataProvider(runs, str(tmp_path))
    backend = Context(TBContext(data_provider=provider))
    request = RequestContext()
    experiment = backend.experiment_from_metadata(
        request, "", True, backend.hparams_metadata(request, ""), []
    )
    shown = [(each.name, each.differs) for each in experiment.hparam_infos]
    assert shown == [("num_clusters", True), ("augmentation", False), ("zeal", False)]
    assert [each.name.tag for each in experiment.metric_infos] == ["test/recall@1"]


def test_projector_finds_its_files(tmp_path: Path) -> None:
    embeddings = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    names = ["a", "b\tc", "", "d\ne", "ä"]
    write_projector(tmp_path, embeddings, names, np.zeros((5, 8, 8, 3), np.uint8))
    config = ProjectorConfig()
    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config)
    shown = config.embeddings[0]
    stored = np.loadtxt(tmp_path / shown.tensor_path, delimiter="\t")
    np.testing.assert_allclose(stored, embeddings, rtol=1e-4)
    assert list(shown.tensor_shape) == [5, 3]
    lines = (tmp_path / shown.metadata_path).read_text(encoding="utf-8").splitlines()
    assert lines == ["a", "b c", "–", "d e", "ä"]
    with Image.open(tmp_path / shown.sprite.image_path) as image:
        assert image.size == (24, 24)
    assert list(shown.sprite.single_image_dim) == [8, 8]
