import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from dce_tf.export.fingerprint import fingerprint
from dce_tf.serving.errors import ServingError
from dce_tf.serving.model.embedding import NeededVersions
from dce_tf.serving.model.servable import MODEL_FILE, Servable
from dce_tf.serving.model.version_policy import VersionPolicy
from dce_tf.serving.model.versions import Versions, versions_in
from tests.serving.conftest import GatedServable, Served, publish
from tests.waiting import until


class Fake:
    """A model whose file says which one it is, or that it is broken."""

    def __init__(self, version: int, folder: Path) -> None:
        self.version = version
        self.fingerprint = (folder / MODEL_FILE).read_text()
        if self.fingerprint == "broken":
            raise ValueError("no model")


def states(versions: Versions) -> dict[int, str]:
    return {status.version: status.state for status in versions.known()}


def write(folder: Path, version: int, text: str = "model") -> None:
    (folder / str(version)).mkdir(exist_ok=True)
    (folder / str(version) / MODEL_FILE).write_text(text)


@pytest.fixture
def watch(tmp_path: Path) -> Callable[..., Versions]:
    def start(**options: Any) -> Versions:
        options = {"load": Fake, **options}
        versions = Versions("embedder", lambda: versions_in(tmp_path), **options)
        versions.poll()
        return versions

    write(tmp_path, 1)
    return start


def test_a_new_version_takes_over_and_the_old_one_ends(
    watch: Callable[..., Versions], tmp_path: Path
) -> None:
    versions = watch()
    assert versions.servable("embedder").version == 1
    write(tmp_path, 2)
    versions.poll()
    assert versions.servable("embedder").version == 2
    assert states(versions) == {2: "AVAILABLE", 1: "END"}


def test_an_old_version_lives_until_its_last_request_is_done(
    watch: Callable[..., Versions], tmp_path: Path
) -> None:
    versions = watch()
    held = versions.servable("embedder")
    write(tmp_path, 2)
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "UNLOADING"}
    assert held.version == 1
    del held
    assert states(versions) == {2: "AVAILABLE", 1: "END"}


@pytest.mark.slow
def test_taking_a_version_away_rolls_back(
    watch: Callable[..., Versions], tmp_path: Path
) -> None:
    write(tmp_path, 2)
    versions = watch()
    assert states(versions) == {2: "AVAILABLE"}
    shutil.rmtree(tmp_path / "2")
    versions.poll()
    assert versions.servable("embedder").version == 1
    assert states(versions) == {2: "END", 1: "AVAILABLE"}
    write(tmp_path, 2)
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "END"}


def test_the_last_version_is_served_on_when_its_folder_is_gone(
    watch: Callable[..., Versions], tmp_path: Path
) -> None:
    versions = watch()
    shutil.rmtree(tmp_path / "1")
    versions.poll()
    assert versions.servable("embedder").version == 1


def test_a_broken_version_is_told_of_and_the_old_one_stays(
    watch: Callable[..., Versions], tmp_path: Path
) -> None:
    loads: list[int] = []

    def load(version: int, folder: Path) -> Any:
        loads.append(version)
        return Fake(version, folder)

    versions = watch(load=load)
    write(tmp_path, 2, "broken")
    versions.poll()
    versions.poll()
    assert loads == [1, 2], "tried again although nothing changed"
    assert states(versions) == {2: "END", 1: "AVAILABLE"}
    assert versions.known()[0].failure.message == "ValueError: no model"
    write(tmp_path, 2)
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "END"}


@pytest.mark.slow
def test_a_version_that_was_still_being_copied_is_tried_again(
    watch: Callable[..., Versions], tiny_versions: Path, tmp_path: Path
) -> None:
    versions = watch()
    versions._load_servable = Servable
    needed = NeededVersions([(fingerprint(tiny_versions / "2"), None)])
    (tmp_path / "2").mkdir()
    shutil.copy2(tiny_versions / "2" / MODEL_FILE, tmp_path / "2")
    versions.poll()
    assert states(versions) == {2: "END", 1: "AVAILABLE"}
    assert needed(versions_in(tmp_path)) == set()
    shutil.copytree(tiny_versions / "2", tmp_path / "2", dirs_exist_ok=True)
    assert needed(versions_in(tmp_path)) == {2}
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "END"}


def test_a_model_that_refuses_its_own_warm_up_is_not_served(
    watch: Callable[..., Versions], tiny_versions: Path, tmp_path: Path
) -> None:
    versions = watch()
    shutil.copytree(tiny_versions / "2", tmp_path / ".2")
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([b"no image"]))
    warmups = tmp_path / ".2" / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(warmups)) as writer:
        writer.write(log.SerializeToString())
    (tmp_path / ".2").rename(tmp_path / "2")
    versions._load_servable = Servable
    versions.poll()
    assert states(versions) == {2: "END", 1: "AVAILABLE"}
    assert versions.known()[0].failure.code == "INVALID_ARGUMENT"


def test_a_watched_folder_is_looked_at_again_and_again(
    watch: Callable[..., Versions], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    versions = watch()
    versions.watch(0.01)
    shutil.move(tmp_path, tmp_path.with_name("moved"))  # An error, for a while.
    until(lambda: "Cannot look for versions" in caplog.text)
    shutil.move(tmp_path.with_name("moved"), tmp_path)
    write(tmp_path, 2)
    until(lambda: versions.servable("embedder").version == 2)
    versions.close()


def test_wanted_versions_are_served_together(
    watch: Callable[..., Versions], tmp_path: Path
) -> None:
    versions = watch(policy=VersionPolicy(frozenset({1, 2})), labels={"stable": 1})
    assert states(versions) == {1: "AVAILABLE"}
    write(tmp_path, 2)
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert versions.servable("embedder", label="stable").version == 1
    assert versions.servable("embedder").version == 2
    with pytest.raises(ServingError, match="Unrecognized servable version label"):
        versions.servable("embedder", label="nope")


def test_a_version_that_is_needed_is_served_beside_the_new_one(
    watch: Callable[..., Versions], tmp_path: Path
) -> None:
    needed = {1}
    versions = watch(needed=lambda found: needed & found.keys())
    write(tmp_path, 2)
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert versions.servable("embedder").version == 2
    needed.clear()
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "END"}
    needed.add(1)
    versions.poll()
    assert states(versions) == {2: "AVAILABLE", 1: "AVAILABLE"}


def test_other_folders_and_files_are_no_versions(tmp_path: Path) -> None:
    for name in ("1", ".tmp-3", "٣", "latest", "4"):
        (tmp_path / name).mkdir()
    (tmp_path / "1" / MODEL_FILE).touch()
    (tmp_path / "٣" / MODEL_FILE).touch()
    (tmp_path / "5").touch()
    assert versions_in(tmp_path) == {1: tmp_path / "1"}


def test_no_request_is_dropped_while_a_version_rolls(
    serve: Callable[..., Served], tiny_versions: Path, model_folder: Path
) -> None:
    served = serve(load=GatedServable, num_threads=6)
    old = served.servable()
    while old.running.acquire(blocking=False):
        pass  # Warm-up requests.
    old.gate.clear()
    body = {"signature_name": "echo", "instances": [1.0]}
    url = "/v1/models/embedder:predict"
    under_way = [served.client.begin("POST", url, json=body) for _ in range(5)]
    assert old.running.acquire(timeout=60)
    gate = old.gate
    del old
    publish(tiny_versions, model_folder, 2)
    served.versions.poll()
    status = served.client.get("/v1/models/embedder").json()["model_version_status"]
    assert [each["state"] for each in status] == ["AVAILABLE", "UNLOADING"]
    answer = served.client.predict(body).json()
    assert answer == {"predictions": [{"version": 2.0, "y": 1.0}]}
    assert not any(each.done() for each in under_way)
    gate.set()
    for each in under_way:
        assert each.result(60).json() == {"predictions": [{"version": 1.0, "y": 1.0}]}
    del under_way
    until(lambda: states(served.versions)[1] == "END")
