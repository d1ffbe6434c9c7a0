"""From an exported version to a commit on the Hub."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.export.fingerprint import fingerprint_model
from dce_tf.export.truncation import drop_heads
from dce_tf.export.versions import resolve_version
from dce_tf.hub.address import HubAddress
from dce_tf.hub.card import is_ours, write_page
from dce_tf.hub.client import SET_TOKEN, endpoint, explained, load_client, open_hub
from dce_tf.hub.files import (
    CARD_PATH,
    KERAS,
    README,
    files_of_export,
    missing_files,
    names_in,
)
from dce_tf.hub.privacy import without_paths
from dce_tf.network.backbones.model_file import read_model
from dce_tf.network.model import EmbeddingModel


@dataclasses.dataclass(frozen=True)
class PushSettings:
    """How to push.

    Attributes:
        public: Whether a repository that is not there yet is to be public.
        license: What the Hub calls the licence; None for that of the card.
        replace_page: Whether a README.md that somebody has edited is replaced.
    """

    public: bool = False
    license: str | None = None
    replace_page: bool = False


@dataclasses.dataclass(frozen=True)
class Pushed:
    """What came of a push.

    Attributes:
        address: With the commit.
        changed: Whether there is a new commit; not if all was there.
        kept_page: Whether a README.md that somebody has edited was left there.
    """

    address: HubAddress
    changed: bool
    kept_page: bool


def push(
    source: Path, keras: Path | None, address: HubAddress, settings: PushSettings
) -> Pushed:
    """Writes an exported version, its page and perhaps its Keras model as one commit.

    Files of an earlier push that are of this one no more are removed in that commit;
    others in the repository are left as they are.

    Args:
        source: A run, a folder of versions, of which the newest is meant, or one.
        keras: The file of the Keras model; None for none.
        address: Where to, without a revision.
        settings: How.

    Raises:
        UsageError: If the client or a token is missing, or the address has a revision.
        ValueError: If there is no export, or the Hub refuses it.
    """
    if address.revision:
        raise UsageError(
            f"{address}: a push goes to the branch main. Leave @{address.revision} out."
        )
    client = load_client()
    version = resolve_version(source)
    card = _read_card(version)
    if keras is not None:
        _check_keras(keras, card, version)
    if not client.get_token():
        raise UsageError(f"A push to {address} needs a token. {SET_TOKEN}.")
    page = write_page(
        client,
        card,
        address,
        license_name=settings.license,
        has_keras=keras is not None,
    )
    contents = dict(_contents(version, card, keras))
    with explained(client, address, writing=True):
        return _commit(client, address, contents, page, settings)


def _read_card(version: Path) -> dict[str, Any]:
    """Returns what is in a version's card, without the paths of this machine."""
    if missing := missing_files(names_in(version)):
        raise ValueError(
            f"{version} has no {missing[0]}, which `{PROGRAM} export` writes. Export "
            "the model again."
        )
    path = version / CARD_PATH
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}.") from error
    if isinstance(card, dict):
        cleaned: dict[str, Any] = without_paths(card)
        return cleaned
    raise ValueError(f"{path}: expected a JSON object. Export the model again.")


def _check_keras(path: Path, card: dict[str, Any], version: Path) -> None:
    """Checks that the two are one model."""
    reading = card.get("preprocessing")
    size = reading.get("image_size") if isinstance(reading, dict) else None
    if size is None or not {"precision", "fingerprint"} <= card.keys():
        raise ValueError(
            f"{version / CARD_PATH} does not say which model it describes. Export the "
            "model again."
        )
    model = read_model(path, str(path))
    found = None
    if isinstance(model, EmbeddingModel):
        found = fingerprint_model(
            drop_heads(model),
            image_size=size,
            precision=card["precision"],
        )
    if found != card["fingerprint"]:
        raise ValueError(
            f"--with_keras: {path} and {version} are two models; one has been trained "
            f"on since, has fewer learners, or is whitened. Run `{PROGRAM} export "
            "RUN`, or leave the flag out."
        )


def _contents(
    version: Path, card: dict[str, Any], keras: Path | None
) -> Iterator[tuple[str, Path | bytes]]:
    for name in files_of_export(names_in(version)):
        yield name, version / name
    yield CARD_PATH, (json.dumps(card, indent=2) + "\n").encode()
    if keras is not None:
        yield KERAS, keras


def _commit(
    client: Any,
    address: HubAddress,
    contents: dict[str, Path | bytes],
    page: str,
    settings: PushSettings,
) -> Pushed:
    hub = open_hub(client)
    try:
        head = hub.model_info(address.repo)
    except client.errors.RepositoryNotFoundError:
        hub.create_repo(address.repo, private=not settings.public)
        head = hub.model_info(address.repo)
    there = {each.rfilename for each in head.siblings or ()}
    keeps = not settings.replace_page and README in there
    keeps = keeps and not is_ours(_read_page(client, address, head.sha))
    if not keeps:
        contents = {**contents, README: page.encode()}
    operations = [
        client.CommitOperationAdd(name, content) for name, content in contents.items()
    ]
    ours = {*files_of_export(there), *({KERAS} & there)}
    operations += map(client.CommitOperationDelete, sorted(ours - contents.keys()))
    commit = hub.create_commit(
        address.repo,
        operations,
        commit_message="Upload an embedder with dce_tf",
        parent_commit=head.sha,
    )
    at = dataclasses.replace(address, revision=commit.oid)
    return Pushed(at, commit.oid != head.sha, keeps)


def _read_page(client: Any, address: HubAddress, revision: str) -> str:
    path = client.hf_hub_download(
        address.repo, README, revision=revision, endpoint=endpoint()
    )
    return Path(path).read_text(encoding="utf-8", errors="replace")
