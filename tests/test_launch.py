"""The files in launch/ that no test can run on a cluster of their own."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

LAUNCH = Path(__file__).parents[1] / "launch"

# Stands in for the interpreter, and says what it was started with.
STAND_IN = '#!/bin/sh\nprintf "%s\\n" "$TF_CONFIG" "$@"\n'


@pytest.fixture(scope="module")
def manifest() -> tuple[Any, Any]:
    text = (LAUNCH / "kubernetes-job.yaml").read_text()
    service, job = yaml.safe_load_all(text)
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    return service, job


def run_pod(job: Any, index: int, folder: Path) -> tuple[Any, list[str]]:
    """Runs the script of one pod; returns its `TF_CONFIG` and words."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (folder / "python").write_text(STAND_IN)
    (folder / "python").chmod(0o755)
    given = {each["name"]: each["value"] for each in container["env"]}
    told = subprocess.run(
        [*container["command"], *container["args"]],
        env={
            **given,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "JOB_COMPLETION_INDEX": str(index),
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return json.loads(told[0]), told[1:]


@pytest.mark.parametrize("index", [0, 1])
def test_each_pod_finds_all_others(
    manifest: tuple[Any, Any], index: int, tmp_path: Path
) -> None:
    service, job = manifest
    cluster, words = run_pod(job, index, tmp_path)
    assert cluster["task"] == {"type": "worker", "index": index}
    # A pod of an indexed Job is JOB-INDEX, and is known as that below its subdomain.
    name, spec = job["metadata"]["name"], job["spec"]
    subdomain = spec["template"]["spec"]["subdomain"]
    (port,) = service["spec"]["ports"]
    assert cluster["cluster"]["worker"] == [
        f"{name}-{other}.{subdomain}:{port['port']}"
        for other in range(spec["completions"])
    ]
    assert words == ["main.py", "--dataset=sop", "--data_dir=/data", "--log_dir=/runs"]


def test_service_is_that_of_the_pods(manifest: tuple[Any, Any]) -> None:
    service, job = manifest
    name, spec = job["metadata"]["name"], job["spec"]
    assert service["metadata"]["name"] == spec["template"]["spec"]["subdomain"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": name}
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"]
    (container,) = spec["template"]["spec"]["containers"]
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in spec["template"]["spec"]["volumes"]}


def test_plugin_travels_to_workers_that_have_no_such_file(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the package ray")
    spec = importlib.util.spec_from_file_location("driver", LAUNCH / "ray_train.py")
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(f"# {name}")
    one, two = (str(tmp_path / f"{name}.py") for name in ("one", "two"))
    words = [f"--plugin={one},{two},module", "--loss=mine"]
    files = driver.plugin_files(words)
    assert files == {one: "# one", two: "# two"}
    assert driver.with_plugins(words, files) == words
    for path in (one, two):
        Path(path).unlink()
    (changed, loss) = driver.with_plugins(words, files)
    *paths, module = changed.removeprefix("--plugin=").split(",")
    assert [Path(path).read_text() for path in paths] == ["# one", "# two"]
    assert [Path(path).name for path in paths] == ["one.py", "two.py"]
    assert (module, loss) == ("module", "--loss=mine")
