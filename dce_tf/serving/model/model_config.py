"""What a `HandleReloadConfigRequest` asks of the one model that is served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.model.version_policy import VersionPolicy

_PLATFORM = "tensorflow"
_TENSORFLOW = model_server_config_pb2.TENSORFLOW


def read_config(
    config: Any, name: str, folder: Path
) -> tuple[VersionPolicy, Mapping[str, int]]:
    """Reads a `ModelServerConfig`, in TensorFlow Serving's order of checks.

    Args:
        config: The message.
        name: What the model is called.
        folder: Where its versions lie.

    Returns:
        Which versions to serve, and versions by label.

    Raises:
        ServingError: If it asks for what this server has not.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
            "ModelConfigList is currently supported"
        )
    models = list(config.model_config_list.config)
    _check_list(models)
    for model in models:
        _check_platform(model)
    if [model.name for model in models] != [name]:
        names = ", ".join(model.name for model in models) or "none"
        raise _refusal(f"This server serves the model {name} alone; received {names}.")
    model = models[0]
    if Path(model.base_path).resolve() != folder.resolve():
        raise _refusal(
            f"The base_path of a model cannot change here; received {model.base_path}. "
            "Start another server for another folder."
        )
    if model.HasField("logging_config"):
        raise _refusal("Requests are not logged here; leave logging_config out.")
    return _read_policy(model.model_version_policy), dict(model.version_labels)


def _check_list(models: list[Any]) -> None:
    names = [model.name for model in models]
    for number, model in enumerate(models):
        if model.name in names[:number]:
            raise invalid(
                f"Illegal to list model {model.name} multiple times in config list"
            )
    for model in models:
        if not Path(model.base_path).is_absolute():
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got "
                f"base_path()={model.base_path}"
            )


def _check_platform(model: Any) -> None:
    platform = model.model_platform
    if model.model_type:
        if platform:
            raise invalid(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                "ModelServerConfig::model_platform."
            )
        if model.model_type != _TENSORFLOW:
            raise invalid(
                f"ModelServerConfig::model_type choice {model.model_type} not "
                "supported."
            )
    elif not platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform."
        )
    elif platform != _PLATFORM:
        raise invalid(
            f"Illegal to change a model's platform. For model {model.name} platform "
            f"was {_PLATFORM} and new platform requested is {platform}"
        )


def _read_policy(policy: Any) -> VersionPolicy:
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific" and policy.specific.versions:
        return VersionPolicy(frozenset(policy.specific.versions))
    if choice == "all":
        return VersionPolicy(newest=None)
    if choice == "specific":
        raise invalid("The policy 'specific' names no version. Name at least one.")
    return VersionPolicy(newest=max(policy.latest.num_versions, 1))


def _refusal(message: str) -> ServingError:
    return ServingError("FAILED_PRECONDITION", message)
