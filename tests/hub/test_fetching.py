"""What is on the Hub becomes a folder here, if it is ours and may be trusted."""

import sys
from pathlib import Path

import pytest
import tensorflow as tf
from huggingface_hub import constants

from dce_tf.base.errors import UsageError
from dce_tf.hub.fetching import local_source
from tests.hub.conftest import READS, STRANGER, WRITES
from tests.hub.stand_in import Repository, StandIn

BIRDS = "hf://ann/birds"


@pytest.fixture
def repository(hub: StandIn, version: Path) -> Repository:
    """A public one that somebody has pushed an export to, and more."""
    made = hub.repositories["ann/birds"] = Repository()
    files = {
        path.relative_to(version).as_posix(): path.read_bytes()
        for path in version.rglob("*")
        if path.is_file()
    }
    made.commit({**files, "README.md": b"# birds\n"})
    return made


def content_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_paths_are_left_as_they_are(tmp_path: Path) -> None:
    assert local_source(str(tmp_path)) == tmp_path
    assert local_source(Path("log/run")) == Path("log/run")


def test_only_files_of_an_export_are_fetched(
    hub: StandIn, repository: Repository
) -> None:
    repository.commit(
        {
            **repository.files,
            "model.keras": b"\0keras",
            "evil.pkl": b"\0",
            "assets/sub/x": b"x",
            "variables/x.pkl": b"x",
            "assets/../../../escaped": b"x",
            "/escaped": b"x",
            "config.json": b"{}",
        }
    )
    folder = local_source(BIRDS)
    got = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
    assert got == {
        "assets.extra",
        "assets.extra/labels.txt",
        "assets.extra/model_card.json",
        "fingerprint.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    }
    asked = " ".join([*hub.asked("GET", "resolve"), *hub.asked("HEAD", "resolve")])
    assert "escaped" not in asked
    assert ".pkl" not in asked


def test_second_time_nothing_is_fetched_again(
    hub: StandIn, repository: Repository
) -> None:
    first = local_source(BIRDS)
    before = len(hub.asked("GET", "resolve|cdn"))
    assert local_source(BIRDS) == first
    assert len(hub.asked("GET", "resolve|cdn")) == before


def test_revision_is_a_tag_a_commit_or_the_newest(
    hub: StandIn, repository: Repository
) -> None:
    old = repository.head
    repository.tags["v1"] = old
    new = repository.commit({**repository.files, "assets.extra/labels.txt": b"crake\n"})
    assert local_source(BIRDS).name == new
    for revision in ("v1", old):
        folder = local_source(f"{BIRDS}@{revision}")
        assert folder.name == old
        assert "auk" in (folder / "assets.extra" / "labels.txt").read_text()
    with pytest.raises(ValueError, match="@v2: there is no such branch, tag or commit"):
        local_source(f"{BIRDS}@v2")


@pytest.mark.parametrize("how", ["offline", "down", "failing"])
def test_what_is_in_the_cache_is_used_without_the_hub(
    hub: StandIn,
    repository: Repository,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = local_source(BIRDS)
    if how == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        message = "HF_HUB_OFFLINE is set, and it is not in the cache"
    elif how == "down":
        hub.close()
        message = "cannot be reached .* and it is not in the cache"
    else:
        hub.status = 503
        message = "answered with status 503"
    assert local_source(BIRDS) == folder
    assert local_source(f"{BIRDS}@{folder.name}") == folder
    with pytest.raises(ValueError, match=f"hf://ann/fish: .*{message}"):
        local_source("hf://ann/fish")


def test_copy_that_is_not_whole_is_refused(
    hub: StandIn, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = local_source(BIRDS)
    (folder / "variables" / "variables.index").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"has no variables/variables\.index\. Run"):
        local_source(BIRDS)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert (local_source(BIRDS) / "variables" / "variables.index").is_file()


def test_what_a_file_names_is_only_taken_from_the_cache(
    hub: StandIn, repository: Repository
) -> None:
    with pytest.raises(ValueError, match="not in the cache"):
        local_source(BIRDS, only_cached=True)
    assert hub.requests == []
    folder = local_source(BIRDS)
    before = len(hub.requests)
    named = f"{BIRDS}@{folder.name}"
    assert local_source(named, only_cached=True) == folder
    assert len(hub.requests) == before


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "or it is private and no token is set"),
        (STRANGER, "or it is private and HF_TOKEN may not read it"),
        ("hf_wrong", "does not know the token"),
    ],
)
def test_private_repository_needs_a_token_that_may_read(
    hub: StandIn,
    repository: Repository,
    token: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    repository.private = True
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ValueError, match=message) as caught:
        local_source(BIRDS)
    assert token is None or token not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", READS)
    local_source(BIRDS)
    assert READS.encode() not in content_below(tmp_path / "cache")
    assert {token for _, path, token in hub.requests if "cdn" in path} == {None}


def test_repository_that_asks_for_consent_is_told(
    hub: StandIn, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.gated = True
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    with pytest.raises(ValueError, match="asks for consent"):
        local_source(BIRDS)


@pytest.mark.parametrize(
    "missing",
    ["saved_model.pb", "assets.extra/model_card.json", "variables/variables.index"],
)
def test_what_is_no_export_is_not_fetched(
    hub: StandIn, repository: Repository, missing: str
) -> None:
    files = dict(repository.files)
    del files[missing]
    repository.commit(files)
    with pytest.raises(ValueError, match=f"has no {missing}, so it is no model of"):
        local_source(BIRDS)
    assert hub.asked("GET", "resolve|cdn") == []


def test_settings_that_another_program_has_fetched_are_refused(
    hub: StandIn, repository: Repository
) -> None:
    folder = local_source(BIRDS)
    (folder / "config.json").write_text('{"plugin": "evil.py"}')
    with pytest.raises(ValueError, match=r"has a config\.json"):
        local_source(BIRDS)


class Reading(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def read(self, path: tf.Tensor) -> tf.Tensor:
        return tf.io.read_file(path)


def test_graph_that_reads_files_is_not_opened(
    hub: StandIn, repository: Repository, tmp_path: Path
) -> None:
    tf.saved_model.save(Reading(), str(tmp_path / "reads"))
    graph = (tmp_path / "reads" / "saved_model.pb").read_bytes()
    repository.commit({**repository.files, "saved_model.pb": graph})
    with pytest.raises(ValueError, match=r"is not opened: .* op ReadFile"):
        local_source(BIRDS)


def test_keras_model_is_fetched_if_it_is_wanted(
    hub: StandIn, repository: Repository
) -> None:
    with pytest.raises(ValueError, match=r"has no model\.keras.*--with_keras"):
        local_source(BIRDS, with_keras=True)
    repository.commit({**repository.files, "model.keras": b"PK\0"})
    assert not (local_source(BIRDS) / "model.keras").exists()
    folder = local_source(BIRDS, with_keras=True)
    assert (folder / "model.keras").read_bytes() == b"PK\0"


def test_missing_package_is_told(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"hf://… needs a package .*\[huggingface\]"):
        local_source(BIRDS)


def test_name_that_the_client_refuses_is_told(hub: StandIn) -> None:
    with pytest.raises(ValueError, match="refuses the name"):
        local_source(f"hf://ann/{'b' * 200}")


def test_token_is_sent_with_every_question(
    hub: StandIn, repository: Repository
) -> None:
    local_source(BIRDS)
    tokens = {token for _, path, token in hub.requests if "cdn" not in path}
    assert tokens == {WRITES}
