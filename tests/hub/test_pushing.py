"""An export goes to the Hub as one commit, and comes back as it was."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from dce_tf.base.errors import UsageError
from dce_tf.export.served import ServedModel
from dce_tf.hub.address import HubAddress, name_of
from dce_tf.hub.card import is_ours
from dce_tf.hub.fetching import local_source
from dce_tf.hub.pushing import Pushed, PushSettings, push
from tests import fakes
from tests.hub.conftest import PRIVATE, READS, STRANGER, WRITES
from tests.hub.stand_in import StandIn

BIRDS = HubAddress("ann/birds")
# So the client uploads; it is the client's to change.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<:DeprecationWarning")


def push_birds(version: Path, **settings: object) -> Pushed:
    return push(version, None, BIRDS, PushSettings(**settings))


def test_what_was_pushed_embeds_the_same(
    hub: StandIn, version: Path, tmp_path: Path
) -> None:
    pushed = push_birds(version)
    assert pushed.changed
    assert pushed.address.revision == hub.repositories["ann/birds"].head
    folder = local_source("hf://ann/birds")
    assert name_of(folder) == str(pushed.address)
    root = fakes.write_csv(tmp_path / "data", num_classes=2, images_per_class=2)
    images = [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]
    np.testing.assert_array_equal(
        ServedModel(folder).embed(images), ServedModel(version).embed(images)
    )


def test_only_the_export_and_its_page_are_uploaded(hub: StandIn, version: Path) -> None:
    push_birds(version)
    files = hub.repositories["ann/birds"].files
    assert sorted(files) == [
        ".gitattributes",
        "README.md",
        "assets.extra/labels.txt",
        "assets.extra/model_card.json",
        "fingerprint.pb",
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]
    card = json.loads(files["assets.extra/model_card.json"])
    assert card["data"]["dataset"] == "csv(path='birds')"
    assert card["trained_with"]["backbone"] == "small|net.keras"
    for content in files.values():
        assert PRIVATE.encode() not in content
        assert str(version.parents[1]).encode() not in content
        assert WRITES.encode() not in content


def test_newest_version_is_pushed(hub: StandIn, version: Path) -> None:
    shutil.copytree(version, version.with_name("2"))
    labels = version.with_name("2") / "assets.extra" / "labels.txt"
    labels.write_text("crake\n")
    push_birds(version.parent)
    files = hub.repositories["ann/birds"].files
    assert files["assets.extra/labels.txt"] == b"crake\n"


def test_same_content_makes_no_commit(hub: StandIn, version: Path) -> None:
    first = push_birds(version)
    second = push_birds(version)
    assert not second.changed
    assert second.address == first.address
    assert len(hub.repositories["ann/birds"].commits) == 2


def test_second_push_leaves_what_is_not_ours(hub: StandIn, version: Path) -> None:
    first = push_birds(version)
    repository = hub.repositories["ann/birds"]
    repository.commit({**repository.files, "LICENSE": b"x", "model.keras": b"\0old"})
    (version / "assets.extra" / "labels.txt").unlink()
    second = push_birds(version)
    assert second.changed
    assert second.address != first.address
    assert repository.files["LICENSE"] == b"x"
    assert "assets.extra/labels.txt" not in repository.files
    assert "model.keras" not in repository.files


def test_page_that_was_edited_is_kept(hub: StandIn, version: Path) -> None:
    push_birds(version)
    repository = hub.repositories["ann/birds"]
    edited = repository.files["README.md"] + b"Not for falcons.\n"
    repository.commit({**repository.files, "README.md": edited})
    kept = push_birds(version)
    assert (kept.changed, kept.kept_page) == (False, True)
    assert repository.files["README.md"] == edited
    replaced = push_birds(version, replace_page=True)
    assert (replaced.changed, replaced.kept_page) == (True, False)
    assert is_ours(repository.files["README.md"].decode())


@pytest.mark.parametrize("public", [False, True])
def test_new_repository_is_private_unless_told(
    hub: StandIn, version: Path, public: bool
) -> None:
    push_birds(version, public=public)
    assert hub.repositories["ann/birds"].private is not public


def test_commit_of_somebody_else_is_not_overwritten(
    hub: StandIn, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_birds(version)
    repository = hub.repositories["ann/birds"]
    answer = hub._batch

    def slow(*args: object, **kwargs: object) -> object:
        repository.commit({**repository.files, "LICENSE": b"x"})
        return answer(*args, **kwargs)

    monkeypatch.setattr(hub, "_batch", slow)
    (version / "assets.extra" / "labels.txt").write_text("crake\n")
    with pytest.raises(ValueError, match=r"changed the repository meanwhile\. Push"):
        push_birds(version)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, r"needs a token\. Set HF_TOKEN"),
        ("hf_wrong", "does not know the token"),
        (READS, "the token may not write there"),
        (STRANGER, "the token may not write there"),
    ],
)
def test_push_without_permission_is_refused(
    hub: StandIn,
    version: Path,
    token: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ValueError, match=message) as caught:
        push_birds(version)
    assert token is None or token not in str(caught.value)
    assert hub.repositories == {}


def test_owner_s_token_that_only_reads_may_not_write(
    hub: StandIn, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_birds(version)
    monkeypatch.setenv("HF_TOKEN", READS)
    (version / "assets.extra" / "labels.txt").write_text("crake\n")
    with pytest.raises(ValueError, match="hf://ann/birds: the token may not write"):
        push_birds(version)


def test_upload_that_fails_names_no_signed_address(
    hub: StandIn, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_cdn", lambda *_: (403, {}, b""))
    with pytest.raises(ValueError, match="may not write") as caught:
        push_birds(version)
    assert "Signature" not in str(caught.value)


def test_hub_that_is_not_there_is_told(hub: StandIn, version: Path) -> None:
    hub.close()
    with pytest.raises(ValueError, match=r"cannot be reached \(ConnectError\)\. Check"):
        push_birds(version)


def test_hub_that_fails_is_told(hub: StandIn, version: Path) -> None:
    hub.status = 500
    with pytest.raises(ValueError, match=r"answered with status 500\. Try again"):
        push_birds(version)


def test_nothing_is_pushed_offline(
    hub: StandIn, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"HF_HUB_OFFLINE is set\. Unset it"):
        push_birds(version)


def test_what_is_no_export_is_refused_before_the_hub_is_asked(
    hub: StandIn, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="export RUN` writes one"):
        push_birds(tmp_path / "run")
    card = version / "assets.extra" / "model_card.json"
    card.write_text("[]")
    with pytest.raises(ValueError, match="expected a JSON object"):
        push_birds(version)
    card.write_text("{")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        push_birds(version)
    for edited in ({}, {"preprocessing": 3}, {"preprocessing": {"image_size": 32}}):
        card.write_text(json.dumps(edited))
        with pytest.raises(ValueError, match="does not say which model"):
            push(version, tmp_path / "model.keras", BIRDS, PushSettings())
    card.unlink()
    with pytest.raises(ValueError, match=r"has no assets\.extra/model_card\.json"):
        push_birds(version)
    with pytest.raises(UsageError, match="Leave @v1 out"):
        push(version, None, dataclasses.replace(BIRDS, revision="v1"), PushSettings())
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UsageError, match=r"\[huggingface\]"):
        push_birds(version)
    assert hub.requests == []
