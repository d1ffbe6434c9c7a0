"""From an address of the Hub to a folder of this machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from dce_tf.export.scan import find_foreign, find_reaching
from dce_tf.hub.address import HubAddress, is_on_hub
from dce_tf.hub.client import (
    endpoint,
    explained,
    is_unreachable,
    load_client,
    open_hub,
)
from dce_tf.hub.files import GRAPH, KERAS, files_of_export, missing_files, names_in


def local_source(
    source: str | Path, *, with_keras: bool = False, only_cached: bool = False
) -> Path:
    """Returns where a model lies on this machine, fetched if it is the Hub's.

    Args:
        source: A path, or `hf://user/name@revision`.
        with_keras: Whether the Keras model of a repository is wanted, too.
        only_cached: Whether nothing is to be fetched that was not before.

    Returns:
        The path; of an address the folder of its exported version, in the cache of the
        Hub's client. Nothing may be written there.

    Raises:
        UsageError: If the address names nothing, or the client is not installed.
        ValueError: If there is no such model, or it is not to be trusted.
    """
    if not is_on_hub(source):
        return Path(source)
    address = HubAddress.parse(str(source))
    client = load_client()
    with explained(client, address, writing=False):
        if only_cached:
            folder = _download(client, address, [GRAPH], local_files_only=True)
        else:
            folder = _fetch(client, address, with_keras=with_keras)
    _check(folder, address, with_keras=with_keras)
    return folder


def _fetch(client: Any, address: HubAddress, *, with_keras: bool) -> Path:
    """Returns the folder in the client's cache."""
    try:
        found = open_hub(client).model_info(address.repo, revision=address.revision)
    except Exception as error:
        if not is_unreachable(client, error):
            raise
        try:
            return _download(client, address, [GRAPH], local_files_only=True)
        except client.errors.LocalEntryNotFoundError:
            raise error from None
    names = [each.rfilename for each in found.siblings or ()]
    wanted = files_of_export(names)
    if missing := missing_files(wanted):
        raise ValueError(
            f"{address} has no {missing[0]}, so it is no model of dce_tf's `push`. "
            "Check the name."
        )
    if with_keras:
        _require_keras(names, address)
        wanted.append(KERAS)
    return _download(client, address, wanted, local_files_only=False)


def _download(
    client: Any, address: HubAddress, names: Sequence[str], *, local_files_only: bool
) -> Path:
    return Path(
        client.snapshot_download(
            address.repo,
            revision=address.revision,
            allow_patterns=list(names),
            local_files_only=local_files_only,
            endpoint=endpoint(),
        )
    )


def _check(folder: Path, address: HubAddress, *, with_keras: bool) -> None:
    """Checks that a copy is whole, and does not do what no export of ours does."""
    names = names_in(folder)
    if missing := missing_files(names):
        raise ValueError(
            f"{address}: the copy in the cache has no {missing[0]}. Run the same "
            "command with the network, which completes it."
        )
    if with_keras:
        _require_keras(names, address)
    if "config.json" in names:
        # As settings of a run they could name files to import.
        raise ValueError(
            f"{address}: the copy in the cache has a config.json, which `push` does "
            f"not write. Remove it, and {folder}/config.json."
        )
    for place, found in (*find_foreign(folder), *find_reaching(folder)):
        raise ValueError(
            f"{address} is not opened: {place} {found}. Models of `export` do nothing "
            "of the kind."
        )


def _require_keras(names: Collection[str], address: HubAddress) -> None:
    if KERAS not in names:
        raise ValueError(
            f"{address} has no {KERAS}, which this needs. Its owner adds it by `push "
            "RUN --with_keras`."
        )
