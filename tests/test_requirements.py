"""What is asked of other packages: lower bounds, and the lock file."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
COMMAND = re.compile(r"#    (uv pip compile .*)")

# The first version without a known hole that a user of dce_tf could meet.
LEAST = {
    "onnx": "1.21",  # CVE-2026-27489, CVE-2026-34446: files outside the model are read.
    "orjson": "3.11.6",  # CVE-2025-67221: nesting without end.
    "pillow": "12.2",
    "pyarrow": "14.0.1",  # CVE-2023-47248: a file runs code.
    "ray": "2.59",  # Asks for a token by default on a cluster of its own.
    "starlette": "1.0.1",
    "torch": "2.6",  # CVE-2025-32434: weights_only=True runs code.
}


def requirements_in(path: Path) -> list[Requirement]:
    lines = path.read_text(encoding="utf-8").splitlines()
    stripped = (line.partition(" #")[0].strip() for line in lines)
    return [Requirement(line) for line in stripped if line and line[0] not in "#-"]


def requirements_of_project() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


PLACES = {
    "pyproject.toml": requirements_of_project(),
    **{path.name: requirements_in(path) for path in ROOT.glob("requirements*.txt")},
}
ALL = [(place, each) for place, found in PLACES.items() for each in found]


def least(requirement: Requirement) -> Version | None:
    bounds = [
        Version(each.version)
        for each in requirement.specifier
        if each.operator in (">=", "~=", "==")
    ]
    return max(bounds, default=None)


@pytest.mark.parametrize(("place", "requirement"), ALL, ids=str)
def test_every_requirement_has_a_lower_bound_without_known_holes(
    place: str, requirement: Requirement
) -> None:
    bound = least(requirement)
    assert bound is not None, f"{place}: {requirement} has no lower bound"
    wanted = LEAST.get(canonicalize_name(requirement.name))
    assert wanted is None or bound >= Version(wanted), f"{place}: {requirement}"


def test_every_bound_that_is_asked_for_is_read_somewhere() -> None:
    assert LEAST.keys() <= {canonicalize_name(each.name) for _, each in ALL}


@pytest.mark.parametrize(("place", "requirement"), ALL, ids=str)
def test_tests_run_with_what_is_asked_for(place: str, requirement: Requirement) -> None:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return  # Of the GPU, or a benchmark's.
    if place != "requirements-benchmarks.txt":
        assert requirement.specifier.contains(installed, prereleases=True)


def test_places_agree_on_the_bounds() -> None:
    bounds: dict[str, set[str]] = {}
    for place, each in ALL:
        if place != "requirements-benchmarks.txt":
            name = canonicalize_name(each.name)
            bounds.setdefault(name, set()).add(str(each.specifier))
    assert {name: each for name, each in bounds.items() if len(each) > 1} == {}


def locked() -> dict[str, tuple[Version, int]]:
    """Returns the version and the number of hashes of each package in the lock."""
    text = LOCK.read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", " ", text)
    found = {}
    for line in joined.splitlines():
        if line and not line.startswith((" ", "#")):
            pinned, *hashes = line.split()
            assert hashes, line
            assert all(re.fullmatch(r"--hash=sha256:\w{64}", each) for each in hashes)
            name, number = pinned.split("==")
            found[canonicalize_name(name)] = Version(number), len(hashes)
    return found


def test_lock_has_every_requirement_with_its_hashes() -> None:
    found = locked()
    assert len(found) > 40
    for each in PLACES["requirements-cpu.txt"]:
        pinned, hashes = found[canonicalize_name(each.name)]
        assert each.specifier.contains(pinned, prereleases=True), each
        assert hashes


def test_lock_names_no_index() -> None:
    text = COMMAND.sub("", LOCK.read_text(encoding="utf-8"))
    for word in ("://", "index-url", "find-links", "trusted-host", " @ ", "file:"):
        assert word not in text


def test_the_command_that_makes_the_lock_is_told() -> None:
    (command,) = COMMAND.findall(LOCK.read_text(encoding="utf-8"))
    assert command in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
