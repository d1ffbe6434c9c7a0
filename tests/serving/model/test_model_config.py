from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import model_management_pb2, model_service_pb2_grpc

from dce_tf.serving.errors import ServingError
from dce_tf.serving.model.model_config import read_config
from dce_tf.serving.model.servable import Servable
from dce_tf.serving.model.version_policy import VersionPolicy
from tests.serving.conftest import Served, publish
from tests.waiting import until

Stub = model_service_pb2_grpc.ModelServiceStub


def reload_request(folder: Path, **changes: Any) -> Any:
    request = model_management_pb2.ReloadConfigRequest()
    model = request.config.model_config_list.config.add()
    model.name = "embedder"
    model.base_path = str(folder)
    model.model_platform = "tensorflow"
    for name, value in changes.items():
        setattr(model, name, value)
    return request


@pytest.fixture
def both(
    model_folder: Path, tiny_versions: Path, serve: Callable[..., Served]
) -> Iterator[tuple[Served, Stub, Path]]:
    """A server of version 2 of two, that looks for others only when it is told."""
    publish(tiny_versions, model_folder, 2)
    served = serve(load=Servable)
    served.versions.watch(1000)
    server = served.listen()
    channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
    yield served, Stub(channel), model_folder
    channel.close()
    server.stop(0)


def served_versions(served: Served) -> list[int]:
    return [servable.version for servable in served.versions.available()]


@pytest.mark.slow
def test_a_client_chooses_versions_and_labels(
    both: tuple[Served, Stub, Path],
) -> None:
    served, stub, folder = both
    assert served_versions(served) == [2]
    request = reload_request(folder)
    policy = request.config.model_config_list.config[0].model_version_policy
    policy.specific.versions.extend([1, 2])
    answer = stub.HandleReloadConfigRequest(request, timeout=60)
    assert answer.HasField("status")
    assert answer.status.error_code == 0
    until(lambda: served_versions(served) == [2, 1])
    labels = request.config.model_config_list.config[0].version_labels
    labels["stable"], labels["canary"] = 1, 2
    stub.HandleReloadConfigRequest(request, timeout=60)
    body = {"signature_name": "echo", "instances": [1.0]}
    for label, version in (("stable", 1.0), ("canary", 2.0)):
        answer = served.client.predict(body, f"/labels/{label}")
        assert answer.json() == {"predictions": [{"version": version, "y": 1.0}]}
    policy.latest.num_versions = 1
    labels.clear()
    stub.HandleReloadConfigRequest(request, timeout=60)
    until(lambda: served_versions(served) == [2])
    answer = served.client.predict(body, "/labels/stable")
    assert answer.json() == {"error": "Unrecognized servable version label: stable"}
    policy.all.SetInParent()
    stub.HandleReloadConfigRequest(request, timeout=60)
    until(lambda: served_versions(served) == [2, 1])


def test_a_label_needs_a_version_that_is_served(
    both: tuple[Served, Stub, Path],
) -> None:
    served, stub, folder = both
    request = reload_request(folder)
    request.config.model_config_list.config[0].version_labels["old"] = 1
    with pytest.raises(grpc.RpcError) as error:
        stub.HandleReloadConfigRequest(request, timeout=60)
    assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert error.value.details() == (
        "Request to assign label to version 1 of model embedder, which is not "
        "currently available for inference"
    )
    assert served_versions(served) == [2]


def test_a_server_that_nobody_may_change_refuses(
    serve: Callable[..., Served], model_folder: Path
) -> None:
    served = serve()
    server = served.listen(read_only=True)
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.RpcError) as error:
            Stub(channel).HandleReloadConfigRequest(
                reload_request(model_folder), timeout=60
            )
        assert error.value.code() == grpc.StatusCode.PERMISSION_DENIED
    server.stop(0)


def without_list() -> Any:
    return model_management_pb2.ReloadConfigRequest()


def twice(folder: Path) -> Any:
    request = reload_request(folder)
    models = request.config.model_config_list.config
    models.add().CopyFrom(models[0])
    return request


def empty() -> Any:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    return request


def logged(folder: Path) -> Any:
    request = reload_request(folder)
    model = request.config.model_config_list.config[0]
    model.logging_config.sampling_config.sampling_rate = 0.5
    return request


def nameless(folder: Path) -> Any:
    request = reload_request(folder)
    model = request.config.model_config_list.config[0]
    model.model_version_policy.specific.SetInParent()
    return request


HERE = Path("/models/embedder")
REFUSED = [
    (
        without_list(),
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
        "ModelConfigList is currently supported",
    ),
    (
        twice(HERE),
        "INVALID_ARGUMENT",
        "Illegal to list model embedder multiple times in config list",
    ),
    (
        reload_request(Path("models")),
        "INVALID_ARGUMENT",
        "Expected model embedder to have an absolute path or URI; got "
        "base_path()=models",
    ),
    (
        reload_request(HERE, model_platform=""),
        "INVALID_ARGUMENT",
        "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
        "ModelServerConfig::model_platform.",
    ),
    (
        reload_request(HERE, model_type=1),
        "INVALID_ARGUMENT",
        "Illegal setting both ModelServerConfig::model_type (deprecated) and "
        "ModelServerConfig::model_platform.",
    ),
    (
        reload_request(HERE, model_type=2, model_platform=""),
        "INVALID_ARGUMENT",
        "ModelServerConfig::model_type choice 2 not supported.",
    ),
    (
        reload_request(HERE, model_platform="pytorch"),
        "INVALID_ARGUMENT",
        "Illegal to change a model's platform. For model embedder platform was "
        "tensorflow and new platform requested is pytorch",
    ),
    (empty(), "FAILED_PRECONDITION", "received none"),
    (reload_request(HERE, name="other"), "FAILED_PRECONDITION", "received other"),
    (
        reload_request(Path("/elsewhere")),
        "FAILED_PRECONDITION",
        "received /elsewhere. Start another server",
    ),
    (logged(HERE), "FAILED_PRECONDITION", "leave logging_config out"),
    (nameless(HERE), "INVALID_ARGUMENT", "Name at least one"),
]


@pytest.mark.parametrize(("request_", "code", "words"), REFUSED)
def test_what_this_server_has_not_is_refused(
    request_: Any, code: str, words: str
) -> None:
    with pytest.raises(ServingError) as error:
        read_config(request_.config, "embedder", HERE)
    assert error.value.code == code
    assert words in error.value.message


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (VersionPolicy(), {9}),
        (VersionPolicy(newest=2), {9, 4}),
        (VersionPolicy(newest=None), {9, 4, 1}),
        (VersionPolicy(frozenset({1, 7})), {1}),
        (VersionPolicy(frozenset({7})), set()),
    ],
)
def test_policies_choose_among_the_versions_there_are(
    policy: VersionPolicy, chosen: set[int]
) -> None:
    assert policy.choose([1, 9, 4]) == chosen
    assert policy.choose([]) == set()
