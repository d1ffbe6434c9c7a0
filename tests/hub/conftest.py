"""A Hub of this machine, a client that asks it, and a small export to push."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.hub.stand_in import StandIn
from tests.saved_models import write_saved_model

WRITES, READS, STRANGER = "hf_writes", "hf_reads", "hf_stranger"
TOKENS = {WRITES: "ann", READS: "ann:read", STRANGER: "bob"}
PRIVATE = "/home/ann"

CARD = {
    "name": "birds-test-0",
    "fingerprint": "ab" * 32,
    "task": "image retrieval",
    "embedding_dim": 3,
    "format": "saved_model",
    "precision": "float32",
    "preprocessing": {"image_size": 32, "crop": "the centre"},
    "license": {"model": None, "data": None, "backbone_weights": None},
    "data": {
        "dataset": f"csv(path='{PRIVATE}/birds')",
        "selected_on": "val",
        "best_epoch": 3,
    },
    "test": {
        "scores": {"recall@1": 0.735, "map@r": 0.306, "mean_distance": 1.2},
        "intervals_95": {"recall@1": [0.701, 0.767]},
    },
    "trained_with": {"backbone": f"{PRIVATE}/nets/small|net.keras", "loss": "margin"},
    "environment": {"python": "3.11"},
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    server = StandIn(TOKENS)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    # As the client does when it is imported.
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_TOKEN", WRITES)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield server
    server.close()


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each test has a copy of: writing one takes seconds."""
    folder = tmp_path_factory.mktemp("saved_model")
    return write_saved_model(folder / "1", explains=True)


@pytest.fixture
def version(saved_model: Path, tmp_path: Path) -> Path:
    """An exported version with paths of its owner in the card."""
    folder = tmp_path / "export" / "1"
    shutil.copytree(saved_model, folder)
    assets = folder / "assets.extra"
    assets.mkdir()
    (assets / "model_card.json").write_text(json.dumps(CARD, indent=2))
    (assets / "labels.txt").write_text("auk\nbittern\n")
    (folder / "notes.txt").write_text("not to be uploaded")
    return folder
