"""The files for a public repository: they fit their schemas, and what is here."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [p for p in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config"]
SCHEMAS = [
    *(("vendor.github-workflows", path) for path in WORKFLOWS),
    *(("custom.github-workflows-require-timeout", path) for path in WORKFLOWS),
    *(("vendor.github-issue-forms", path) for path in FORMS),
    ("vendor.github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml"),
]
CI = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text(encoding="utf-8"))


def fits(schema: str, path: Path) -> bool:
    """Returns whether a file is what a schema that `check-jsonschema` brings says."""
    program = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [program, "--builtin-schema", schema, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


def steps() -> list[tuple[str, str]]:
    """Returns the command lines of all jobs, each with its workflow's name."""
    found = []
    for path in WORKFLOWS:
        jobs: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        for job in jobs.values():
            found += [
                (path.name, step["run"]) for step in job["steps"] if "run" in step
            ]
    return found


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=str)
def test_files_fit_their_schemas(schema: str, path: Path) -> None:
    assert fits(schema, path)


def test_a_wrong_workflow_fits_no_schema(tmp_path: Path) -> None:
    wrong = tmp_path / "ci.yml"
    text = (GITHUB / "workflows" / "ci.yml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("runs-on:", "run-on:"))
    assert not fits("vendor.github-workflows", wrong)


def test_every_python_that_is_promised_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [re.search(r":: (3\.\d+)$", each) for each in project["classifiers"]]
    promised = [found[1] for found in named if found]
    assert CI["jobs"]["test"]["strategy"]["matrix"]["python"] == promised
    assert project["requires-python"] == f">={promised[0]}"
    assert f"{promised[0]} to {promised[-1]}" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize(("name", "command"), steps())
def test_commands_name_files_there_are(name: str, command: str) -> None:
    words = re.findall(
        r"(?:^|\s)((?:tests|serving|docs|requirements|\.ci)[\w./*-]*)", command
    )
    for word in words:
        assert list(ROOT.glob(word.rstrip("/"))), f"{name}: {word}"


def test_workflows_may_only_read() -> None:
    for path in WORKFLOWS:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert found["permissions"] == {"contents": "read"}
        text = path.read_text(encoding="utf-8")
        assert "pull_request_target" not in text
        # What others write, such as a title, must not become part of a script.
        for expression in re.findall(r"\$\{\{(.*?)\}\}", text):
            assert expression.split(".")[0].strip() in ("github", "matrix")
        assert not any("github.event." in run for _, run in steps())
