import ast
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf.base.files import write_json
from dce_tf.index import build_collection, open_collection
from dce_tf.serving import server
from dce_tf.serving.http.guards import Access
from dce_tf.serving.metrics import Metrics
from dce_tf.serving.model.versions import Versions
from dce_tf.serving.settings import Settings
from tests.serving.conftest import DIM, Lines, Live, Served, publish

ROOT = Path(__file__).parents[2]
SERVING = sorted((ROOT / "dce_tf" / "serving").rglob("*.py"))
ALLOWED = ("base", "export", "images", "index", "retrieval", "serving")


def test_versions_are_found_in_runs_folders_and_alone(
    tiny_versions: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "run"
    runs.mkdir()
    write_json(runs / "config.json", {})
    publish(tiny_versions, runs / "export", 1)
    find = server.find_versions(runs)
    assert set(find()) == {1}
    publish(tiny_versions, runs / "export", 2)
    assert set(find()) == {1, 2}
    assert set(server.find_versions(runs / "export")()) == {1, 2}
    assert server.find_versions(runs / "export" / "2")() == {2: runs / "export" / "2"}
    (runs / "export" / "2").rename(tmp_path / "latest")
    assert server.find_versions(tmp_path / "latest")() == {1: tmp_path / "latest"}
    with pytest.raises(ValueError, match=r"python main\.py export"):
        server.find_versions(tmp_path / "nowhere")


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"--port={port}: .*--port=0"):
            server._listen("127.0.0.1", port)


def test_a_model_that_cannot_be_loaded_is_told(model_folder: Path) -> None:
    with pytest.raises(ValueError, match="there is no version 7"):
        server._load([], Metrics(), Settings(model_folder, versions=(7,)))
    (model_folder / "1" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(ValueError, match="version 1: "):
        server._load([], Metrics(), Settings(model_folder))


def test_two_collections_of_one_name_are_refused(tmp_path: Path) -> None:
    opened = []
    for folder in ("a", "b"):
        build_collection(
            tmp_path / folder,
            [[]],
            fingerprint="f" * 64,
            embedding_dim=DIM,
            name="things",
        )
        opened.append(open_collection(str(tmp_path / folder)))
    with pytest.raises(ValueError, match="two collections are called things"):
        server._check_names(opened)
    for each in opened:
        each.close()


@pytest.mark.parametrize(
    ("host", "token", "warned"),
    [("127.0.0.1", None, False), ("0.0.0.0", None, True), ("0.0.0.0", "x", False)],
)
def test_an_open_door_is_warned_of(
    host: str,
    token: str | None,
    warned: bool,
    served: Served,
    capsys: pytest.CaptureFixture[str],
    logged: Callable[..., Lines],
) -> None:
    lines = logged("text")
    settings = Settings(Path("run"), access=Access(host=host, token=token))
    with socket.create_server((host, 0)) as listener:
        server._announce(settings, listener, served.versions)
        port = listener.getsockname()[1]
    printed = capsys.readouterr()
    assert f"embedder, version 2, 1: http://{host}:{port}/" in printed.out
    assert ["Set a token" in line for line in lines.texts()] == [True] * warned


@pytest.mark.parametrize(
    ("host", "seen"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost")]
)
def test_page_opens_where_there_is_a_display(
    host: str,
    seen: str,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []
    known = threading.Event()
    monkeypatch.setattr(
        "webbrowser.open", lambda address: opened.append(address) or known.set()
    )
    settings = Settings(Path("run"), access=Access(host=host, token="x"), open=True)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with socket.create_server((host, 0)) as listener:
        server._announce(settings, listener, served.versions)
        port = listener.getsockname()[1]
        address = f"http://{host}:{port}/"
        assert f"No display is here: open {address} in" in capsys.readouterr().out
        monkeypatch.setenv("DISPLAY", ":0")
        server._announce(settings, listener, served.versions)
    assert known.wait(60)
    assert opened == [f"http://{seen}:{port}/"]
    assert "No display" not in capsys.readouterr().out


def test_programs_are_told_of_the_start_in_the_log(
    served: Served,
    capsys: pytest.CaptureFixture[str],
    logged: Callable[..., Lines],
) -> None:
    lines = logged("json")
    settings = Settings(Path("run"), log_format="json")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server._announce(settings, listener, served.versions)
        port = listener.getsockname()[1]
    (line,) = lines.objects()
    assert line["message"] == f"embedder, version 2, 1: http://127.0.0.1:{port}/"
    assert capsys.readouterr().out == ""


def test_the_probe_of_the_manifests_reads_this_server(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    served = serve()
    port = str(live(served).port)
    probe = ["bash", str(ROOT / "serving" / "probe.sh"), port]
    assert subprocess.run(probe, check=False, timeout=60).returncode == 0
    served.versions._statuses[1].state = "LOADING"
    assert subprocess.run(probe, check=False, timeout=60).returncode != 0


@pytest.mark.parametrize("path", SERVING, ids=lambda path: path.stem)
def test_the_server_knows_only_export_index_and_retrieval(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            root, _, rest = (node.module or "").partition(".")
            assert root != "dce_tf" or rest.split(".")[0] in ALLOWED


def test_versions_are_those_wanted(model_folder: Path) -> None:
    metrics = Metrics()
    versions = server._load(
        [], metrics, Settings(model_folder, version_labels={"a": 1})
    )
    assert (
        ':tensorflow:serving:model_warmup_latency_count{model_path="embedder/1",'
        'status="OK"} 1.0'
    ) in metrics.page().decode()
    assert isinstance(versions, Versions)
    assert versions.servable("embedder", label="a").version == 1
