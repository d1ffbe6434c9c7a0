"""The Hub's own client, `huggingface_hub`, and its errors in our words."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

from dce_tf import __version__
from dce_tf.base.errors import UsageError, first_line
from dce_tf.base.program import tell_to_install
from dce_tf.hub.address import HubAddress

SET_TOKEN = "Set HF_TOKEN, or run `hf auth login`"
_CONFLICTS = (409, 412)


def load_client() -> Any:
    """Returns the module `huggingface_hub`.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.errors
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError as error:
        raise UsageError(
            f"hf://… needs a package that is not here ({error}). Install it: "
            f"{tell_to_install('huggingface')}."
        ) from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    # What it warns of is ours to say.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    return huggingface_hub


def endpoint() -> str | None:
    """Returns the address of the Hub, if it is another than huggingface.co."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None


def open_hub(client: Any) -> Any:
    """Returns the client's `HfApi`; it takes the token from the environment.

    Args:
        client: As `load_client` returns it.
    """
    return client.HfApi(
        endpoint=endpoint(), library_name="dce_tf", library_version=__version__
    )


def is_unreachable(client: Any, error: Exception) -> bool:
    """Returns whether an error says that the Hub cannot be asked at all now.

    Args:
        client: As `load_client` returns it.
        error: Any error.
    """
    errors = client.errors
    if isinstance(error, errors.HfHubHTTPError):
        return int(error.response.status_code) >= 500
    return isinstance(error, errors.OfflineModeIsEnabled | errors.HTTPError)


@contextlib.contextmanager
def explained(client: Any, address: HubAddress, *, writing: bool) -> Iterator[None]:
    """Turns the client's errors into a sentence with what to do.

    The client's own text is not kept, as it may name addresses that are signed.

    Args:
        client: As `load_client` returns it.
        address: What is read or written.
        writing: Whether it is written.

    Raises:
        ValueError: In place of an error of the client.
    """
    try:
        yield
    except Exception as error:
        # So the client wraps what happens to one of several files.
        cause = error.__cause__ if type(error) is RuntimeError else None
        text = _explain(client, cause or error, writing=writing)
        if text is None:
            raise
        raise ValueError(f"{address}: {text}") from error


def _explain(client: Any, error: BaseException, *, writing: bool) -> str | None:
    """Returns what to say of an error, or None if it is not the client's."""
    errors = client.errors
    missing = "" if writing else ", and it is not in the cache"
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "it is not in the cache of the Hub's client. Name it, to fetch it."
    if isinstance(error, errors.HFValidationError):
        return f"the client refuses the name: {first_line(error)}."
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set{missing}. Unset it to ask the Hub."
    if isinstance(error, errors.HfHubHTTPError):
        status = int(error.response.status_code)
        return _not_there(client, error) or _refused(status, writing=writing)
    if isinstance(error, errors.HTTPError):
        return (
            f"the Hub at {endpoint() or 'huggingface.co'} cannot be reached "
            f"({type(error).__name__}){missing}. Check the network and HF_ENDPOINT."
        )
    return None


def _not_there(client: Any, error: BaseException) -> str | None:
    """Returns what to say of what the Hub does not show, or None if that is not it."""
    errors = client.errors
    if isinstance(error, errors.RevisionNotFoundError):
        return "there is no such branch, tag or commit. Leave it out for the newest."
    if isinstance(error, errors.GatedRepoError):
        return "its owner asks for consent first. Give it on the repository's page."
    if isinstance(error, errors.RepositoryNotFoundError):
        token = "HF_TOKEN may not read it" if client.get_token() else "no token is set"
        return (
            f"there is no such repository, or it is private and {token}. Check the "
            f"name. {SET_TOKEN} to a token that may read it."
        )
    return None


def _refused(status: int, *, writing: bool) -> str:
    if status == 401:
        return f"the Hub does not know the token. {SET_TOKEN}."
    if status == 403:
        what = "write there" if writing else "read it"
        return (
            f"the token may not {what}. Set HF_TOKEN to one that may; your account's "
            "page Access Tokens makes them."
        )
    if status in _CONFLICTS:
        return "somebody else changed the repository meanwhile. Push again."
    return f"the Hub answered with status {status}. Try again later."
