from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.hub.address import HubAddress, is_on_hub, name_of


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("hf://ann/birds", "ann/birds", None),
        ("hf://ann/birds/", "ann/birds", None),
        ("hf://Ann-1/birds_v1.2", "Ann-1/birds_v1.2", None),
        ("hf://ann/birds@v1", "ann/birds", "v1"),
        ("hf://ann/birds@refs/pr/1", "ann/birds", "refs/pr/1"),
        ("hf://ann/birds@" + "a" * 40, "ann/birds", "a" * 40),
        (str(Path("hf://ann/birds")), "ann/birds", None),
    ],
)
def test_addresses_name_a_repository_and_perhaps_a_revision(
    text: str, repo: str, revision: str | None
) -> None:
    address = HubAddress.parse(text)
    assert (address.repo, address.revision) == (repo, revision)
    assert HubAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://birds",
        "hf://ann/",
        "hf://ann/birds/extra",
        "hf://ann/birds@",
        "hf://ann/birds@../../x",
        "hf://ann/..",
        "hf://../birds",
        "hf://ann/a--b",
        "hf://ann/bi rds",
        "hf://ann/birds@v1@v2",
        "hf://ann/birds?x=1",
        "hf:///ann/birds",
        "hf://ann/bïrds",
    ],
)
def test_what_names_no_repository_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected hf://user/name"):
        HubAddress.parse(text)


@pytest.mark.parametrize("text", ["log/run", "hf", "./hf:/x", "gs://ann/birds"])
def test_paths_are_not_taken_for_addresses(text: str) -> None:
    assert not is_on_hub(text)


def test_copy_in_the_cache_is_called_by_its_address() -> None:
    commit = "0123456789" * 4
    cached = Path("/c/hub/models--ann--birds/snapshots", commit)
    assert name_of(cached) == f"hf://ann/birds@{commit}"
    for other in ("log/run", "/", ".", f"/x/snapshots/{commit}", str(cached.parent)):
        assert name_of(Path(other)) == other
