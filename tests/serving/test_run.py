import ast
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf.files import write_json
from dce_tf.index import build_collection, open_collection
from serving import run
from serving.settings import Settings
from serving.versions import Versions
from tests.serving.conftest import DIM, Live, Served, publish

ROOT = Path(__file__).parents[2]
ALLOWED = ("export", "index", "errors", "files", "gifs", "registry")


def test_versions_are_found_in_runs_folders_and_alone(
    tiny_versions: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "run"
    runs.mkdir()
    write_json(runs / "config.json", {})
    publish(tiny_versions, runs / "export", 1)
    find = run.find_versions(runs)
    assert set(find()) == {1}
    publish(tiny_versions, runs / "export", 2)
    assert set(find()) == {1, 2}
    assert set(run.find_versions(runs / "export")()) == {1, 2}
    assert run.find_versions(runs / "export" / "2")() == {2: runs / "export" / "2"}
    (runs / "export" / "2").rename(tmp_path / "latest")
    assert run.find_versions(tmp_path / "latest")() == {1: tmp_path / "latest"}
    with pytest.raises(ValueError, match=r"python main\.py export"):
        run.find_versions(tmp_path / "nowhere")


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"--port={port}: .*--port=0"):
            run._listen("127.0.0.1", port)


def test_a_model_that_cannot_be_loaded_is_told(model_folder: Path) -> None:
    with pytest.raises(ValueError, match="there is no version 7"):
        run._load([], Settings(model_folder, versions=(7,)))
    (model_folder / "1" / "saved_model.pb").write_bytes(b"broken")
    with pytest.raises(ValueError, match="version 1: "):
        run._load([], Settings(model_folder))


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
        run._check_names(opened)
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
) -> None:
    settings = Settings(Path("run"), host=host, token=token)
    with socket.create_server((host, 0)) as listener:
        run._announce(settings, listener, served.versions)
        port = listener.getsockname()[1]
    printed = capsys.readouterr()
    assert f"embedder, version 2, 1: http://{host}:{port}/" in printed.out
    assert ("Set a token" in printed.err) == warned


def test_the_probe_of_the_manifests_reads_this_server(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    served = serve()
    port = str(live(served).port)
    probe = ["bash", str(ROOT / "serving" / "probe.sh"), port]
    assert subprocess.run(probe, check=False, timeout=20).returncode == 0
    served.versions._statuses[1].state = "LOADING"
    assert subprocess.run(probe, check=False, timeout=20).returncode != 0


@pytest.mark.parametrize("path", sorted((ROOT / "serving").glob("*.py")), ids=str)
def test_the_server_knows_only_export_and_index(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            root, _, rest = (node.module or "").partition(".")
            assert root != "dce_tf" or rest.split(".")[0] in ALLOWED


def test_versions_are_those_wanted(model_folder: Path) -> None:
    versions = run._load([], Settings(model_folder, version_labels={"a": 1}))
    assert isinstance(versions, Versions)
    assert versions.servable("embedder", label="a").version == 1
