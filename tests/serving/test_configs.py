"""The files of serving/, as far as one can check them without a container."""

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

SERVING = Path(__file__).parents[2] / "serving"


def parse(text: str) -> model_server_config_pb2.ModelServerConfig:
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def test_models_config_is_read_by_the_servers_own_protos() -> None:
    text = (SERVING / "models.config").read_text()
    (model,) = parse(text).model_config_list.config
    assert (model.name, model.base_path) == ("embedder", "/models/embedder")
    with pytest.raises(text_format.ParseError):
        parse(text.replace("base_path", "basepath"))


def test_policies_of_the_page_fit_into_models_config() -> None:
    text = (SERVING / "models.config").read_text()
    page = (SERVING / "README.md").read_text()
    blocks = re.findall(
        r"(?:^    (?:model_version|version_)\S.*\n)+", page, re.MULTILINE
    )
    assert len(blocks) == 2
    policy = re.search(r"^ *model_version_policy.*$", text, re.MULTILINE)[0]
    back, both = (parse(text.replace(policy, block)) for block in blocks)
    version = back.model_config_list.config[0].model_version_policy.specific
    assert list(version.versions) == [1]
    labels = both.model_config_list.config[0].version_labels
    assert dict(labels) == {"stable": 1, "canary": 2}


def test_manifests_name_the_files_there_are() -> None:
    compose = yaml.safe_load((SERVING / "docker-compose.yml").read_text())
    deployment, service = yaml.safe_load_all((SERVING / "kubernetes.yaml").read_text())
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    for server in (*compose["services"].values(), container):
        arguments = server.get("command") or server["args"]
        files = [Path(a.partition("=")[2]) for a in arguments if "=/config/" in a]
        assert len(files) == 3
        assert all((SERVING / file.name).is_file() for file in files)
    assert compose["services"]["cpu"]["healthcheck"]["test"][-1] == "/config/probe.sh"
    for probe in ("startupProbe", "readinessProbe"):
        assert container[probe]["exec"]["command"] == ["bash", "/config/probe.sh"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == ports
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    class Status(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            states = self.server.states.get(self.path)
            body = {
                "model_version_status": [
                    {"version": "1", "state": s} for s in states or []
                ]
            }
            self.send_response(404 if states is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(body, indent=1).encode())

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Status) as running:
        running.states = {}
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("states", "healthy"),
    [
        (["AVAILABLE"], True),
        (["AVAILABLE", "LOADING"], True),
        (["LOADING"], False),
        (["END"], False),
        ([], False),
        (None, False),
    ],
)
def test_probe_reads_the_state_of_the_model(
    server: http.server.HTTPServer, states: list[str] | None, healthy: bool
) -> None:
    server.states = {} if states is None else {"/v1/models/embedder": states}
    command = ["bash", SERVING / "probe.sh", str(server.server_port)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) == healthy


def test_probe_fails_where_nobody_listens(server: http.server.HTTPServer) -> None:
    port = server.server_port
    server.server_close()
    done = subprocess.run(
        ["bash", SERVING / "probe.sh", str(port)], capture_output=True, check=False
    )
    assert done.returncode != 0
