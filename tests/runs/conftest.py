from pathlib import Path
from typing import Any

import pytest

from dce_tf.config import Config
from tests import fakes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    return fakes.write_csv(root, num_classes=12, images_per_class=8)


@pytest.fixture(scope="module")
def base(data: Path) -> Config:
    return Config(
        dataset="csv",
        data_dir=str(data),
        backbone="small",
        image_size=32,
        embedding_dim=16,
        num_clusters=2,
        num_epochs=4,
        full_embedding_epoch=2,
        finetune_epoch=3,
        batch_size=16,
        backbone_lr=1e-3,
        embedding_lr=1e-3,
        val_fraction=0.3,
        # The default has no loss where no two images are far apart, as at first here.
        loss="multi_similarity",
    )


@pytest.fixture
def config(base: Config, tmp_path: Path) -> Config:
    return base.replace(log_dir=str(tmp_path / "log"))


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keeps the parts of each run."""
    # Where no run is trained, TensorFlow is not needed.
    from dce_tf.runs import train as train_module

    kept, original = [], train_module.build_session

    def build(*args, **kwargs) -> Any:
        kept.append(original(*args, **kwargs))
        return kept[-1]

    monkeypatch.setattr(train_module, "build_session", build)
    return kept
