"""The files for containers, as far as one can check them where none can run."""

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from absl import flags
from dockerfile_parse import DockerfileParser
from yamllint import linter
from yamllint.config import YamlLintConfig

from dce_tf.commands.finding import flags_of
from tests.serving.conftest import Live, Served
from tests.test_workflows import fits

ROOT = Path(__file__).parents[2]
SERVING = ROOT / "serving"
COMPOSE = SERVING / "serve-compose.yaml"
MANIFEST = SERVING / "serve-kubernetes.yaml"
SCRIPTS = [*SERVING.glob("*.sh"), ROOT / ".ci" / "run"]
YAML = sorted(
    path
    for folder in ("serving", "launch", ".github")
    for path in (ROOT / folder).rglob("*.y*ml")
)
COMPOSE_FILES = [path for path in YAML if "compose" in path.name]
MANIFESTS = [path for path in YAML if "kubernetes" in path.name]


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def stages() -> list[list[dict[str, str]]]:
    """The instructions of the Dockerfile, those of each stage apart."""
    parser = DockerfileParser(fileobj=io.BytesIO((SERVING / "Dockerfile").read_bytes()))
    found: list[list[dict[str, str]]] = [[]]
    for each in parser.structure:
        if each["instruction"] == "FROM":
            found.append([])
        if each["instruction"] != "COMMENT":
            found[-1].append(each)
    return found


def values(stage: list[dict[str, str]], instruction: str) -> list[str]:
    return [each["value"] for each in stage if each["instruction"] == instruction]


def environment_of_the_image(stage: list[dict[str, str]]) -> dict[str, str]:
    words = [word for text in values(stage, "ENV") for word in shlex.split(text)]
    return dict(word.split("=", 1) for word in words)


def test_image_is_slim_and_runs_as_nobody_in_particular(
    stages: list[list[dict[str, str]]],
) -> None:
    *_, build, last = stages
    for stage in (build, last):
        assert re.match(r"python:\$\{PYTHON\}-slim-\w+", values(stage, "FROM")[0])
    assert values(last, "USER") == ["10001:10001"]
    assert len(values(last, "HEALTHCHECK")) == 1
    assert values(last, "STOPSIGNAL") == ["SIGTERM"]
    # As one process, which hears SIGTERM itself: no shell in between.
    assert values(last, "ENTRYPOINT") == ['["dce-tf"]']
    assert values(last, "CMD")[-1].startswith('["serve"')
    assert environment_of_the_image(last)["HOME"] == "/tmp"


def test_image_is_made_of_files_and_extras_there_are(
    stages: list[list[dict[str, str]]],
) -> None:
    *_, build, last = stages
    ignored = (SERVING / "Dockerfile.dockerignore").read_text().splitlines()
    for stage in (build, last):
        for text in values(stage, "COPY"):
            if text.startswith("--from"):
                continue
            *sources, _ = text.split()
            for source in sources:
                assert (ROOT / source).exists()
                assert f"!{source}" in ignored
    project = (ROOT / "pyproject.toml").read_text()
    extras = next(a for a in values(build, "ARG") if a.startswith("EXTRAS="))
    for extra in ("cpu", "gpu", *extras.partition("=")[2].split(",")):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


def variables() -> Iterator[tuple[str, str]]:
    for service in documents(COMPOSE)[0]["services"].values():
        yield from service["environment"].items()
    for each in container()["env"]:
        yield each["name"], each.get("value", "")


def container() -> dict[str, Any]:
    deployment = next(d for d in documents(MANIFEST) if d["kind"] == "Deployment")
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return found


def test_variables_are_flags_of_serve(stages: list[list[dict[str, str]]]) -> None:
    known = flags.FlagValues()
    flags_of("serve").define_flags(known)
    own = environment_of_the_image(stages[-1]).items()
    named = [each for each in (*own, *variables()) if each[0].startswith("DCE_TF_")]
    assert len(named) > 10
    for name, text in named:
        flag = name.removeprefix("DCE_TF_").lower()
        assert flag in known or flag == "token", name
        if flag in known and "$" not in text:
            known[flag].parse(text)


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_yaml_is_clean(path: Path) -> None:
    config = YamlLintConfig(file=str(ROOT / ".yamllint.yaml"))
    problems = linter.run(path.read_text(encoding="utf-8"), config, str(path))
    assert [str(each) for each in problems] == []


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_fit_the_schemas_of_kubernetes(path: Path) -> None:
    version = kubernetes_validate.latest_version()
    found = documents(path)
    for document in found:
        kubernetes_validate.validate(document, version, strict=True)
    wrong = {**found[-1], "specs": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


@pytest.mark.parametrize(
    "path",
    [path for path in YAML if "compose" in path.name],
    ids=lambda path: path.name,
)
def test_compose_files_fit_its_schema(path: Path, tmp_path: Path) -> None:
    assert fits("vendor.compose-spec", path)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(path.read_text().replace("\n  restart:", "\n  restarts:"))
    assert not fits("vendor.compose-spec", wrong)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_clean(path: Path) -> None:
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run(
        [shellcheck, "--exclude=SC1091", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def seconds(text: object) -> float:
    return float(str(text).removesuffix("s"))


def test_server_has_longer_to_end_than_it_takes() -> None:
    for service in documents(COMPOSE)[0]["services"].values():
        own = service["environment"]
        needed = seconds(own["DCE_TF_LAME_DUCK_SECONDS"])
        needed += seconds(own["DCE_TF_DRAIN_SECONDS"])
        assert seconds(service["stop_grace_period"]) > needed
    deployment = next(d for d in documents(MANIFEST) if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    own = {each["name"]: each.get("value") for each in container()["env"]}
    needed = seconds(own["DCE_TF_LAME_DUCK_SECONDS"])
    needed += seconds(own["DCE_TF_DRAIN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] > needed
    # Endpoints learn of the end by the readiness probe before connections are refused.
    period = container()["readinessProbe"]["periodSeconds"]
    assert seconds(own["DCE_TF_LAME_DUCK_SECONDS"]) > period


def test_servers_in_containers_have_few_rights() -> None:
    for service in documents(COMPOSE)[0]["services"].values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    deployment = next(d for d in documents(MANIFEST) if d["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    assert not pod["enableServiceLinks"]
    rights = container()["securityContext"]
    assert rights["readOnlyRootFilesystem"]
    assert not rights["allowPrivilegeEscalation"]
    assert rights["capabilities"] == {"drop": ["ALL"]}


def test_parts_of_the_manifest_fit_together() -> None:
    by_kind = {each["kind"]: each for each in documents(MANIFEST)}
    pod = by_kind["Deployment"]["spec"]["template"]
    (data,) = (v for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v)
    claim = by_kind["PersistentVolumeClaim"]["metadata"]["name"]
    assert data["persistentVolumeClaim"]["claimName"] == claim
    mounted = {mount["name"] for mount in container()["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
    ports = {port["name"] for port in container()["ports"]}
    service = by_kind["Service"]["spec"]
    assert {port["targetPort"] for port in service["ports"]} == ports
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    limits = container()["resources"]
    assert limits["requests"].keys() == {"cpu", "memory"}
    assert "memory" in limits["limits"]
    for probe, path in (
        ("startupProbe", "/readyz"),
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/healthz"),
    ):
        assert container()[probe]["httpGet"] == {"path": path, "port": "http"}


def test_health_check_asks_the_server_as_it_is_set(
    serve: Callable[..., Served],
    live: Callable[..., Live],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = serve(token="secret")
    running = live(served)
    monkeypatch.setenv("DCE_TF_PORT", str(running.port))
    command = [sys.executable, str(SERVING / "healthcheck.py")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
    served.health.drain()
    assert subprocess.run(command, check=False, timeout=60).returncode == 1
    monkeypatch.setenv("DCE_TF_PORT", "1")
    assert subprocess.run(command, check=False, timeout=60).returncode == 1
