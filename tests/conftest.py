"""What all tests share. TensorFlow is imported only where a test needs it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

from benchmarks.postgres_server import PostgresServer, UnavailableError
from dce_tf.base import plugins
from dce_tf.base.registry import foreign_entries
from tests import longer
from tests.longer import pytest_configure, pytest_ignore_collect  # noqa: F401
from tests.synced import Synced

if TYPE_CHECKING:
    import tensorflow as tf

SHARED = Path(__file__).parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    longer.add_options(parser)
    parser.addoption("--slow", action="store_true", help="run the slow tests, too")


class TwoDevices(MetaPathFinder):
    """Gives TensorFlow two logical devices, for MirroredStrategy, once it is imported.

    Its import takes seconds, and after the first tensor it is too late for devices.
    """

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_divide(module: ModuleType) -> None:
            execute(module)
            cpu = module.config.list_physical_devices("CPU")[0]
            two = [module.config.LogicalDeviceConfiguration()] * 2
            module.config.set_logical_device_configuration(cpu, two)

        spec.loader.exec_module = execute_and_divide
        return spec


# Not in `pytest_configure`: conftest files of folders that are asked for come first.
assert "tensorflow" not in sys.modules
sys.meta_path.insert(0, TwoDevices())


def sees_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    longer.leave_out(config, items)
    gpu = any("gpu" in item.keywords for item in items) and sees_gpu()
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: needs --slow"))
        if "gpu" in item.keywords and not gpu:
            item.add_marker(pytest.mark.skip(reason="TensorFlow sees no GPU"))


@pytest.fixture(autouse=True)
def ends_determinism() -> Iterator[None]:
    """Keeps what --deterministic sets for the whole process from the next test."""
    yield
    if config := sys.modules.get("tensorflow.python.framework.config"):
        config.disable_op_determinism()


@pytest.fixture
def forgets_plugins() -> Iterator[None]:
    """Keeps plugins of a test, and what they registered, from the next one."""
    entries, modules = foreign_entries(), set(sys.modules)
    path, loaded = list(sys.path), set(plugins._loaded)
    yield
    for registry, name in foreign_entries() - entries:
        registry.forget(name)
    for name in set(sys.modules) - modules:
        if name.startswith("idea"):
            del sys.modules[name]
    sys.path[:] = path
    plugins._loaded.intersection_update(loaded)


@pytest.fixture(scope="session")
def two_devices() -> tf.distribute.Strategy:
    # One for all tests: the collectives of two strategies in one process collide.
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real server, which tests share; none of them ends it."""
    try:
        server = PostgresServer()
    except UnavailableError as error:
        pytest.skip(f"PostgreSQL cannot run here: {error}")
    yield server
    server.close()


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """A server that asks for a password, and that the test may kill."""
    try:
        server = PostgresServer(password=True)
    except UnavailableError as error:
        pytest.skip(f"PostgreSQL cannot run here: {error}")
    yield server
    server.close()


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real photographs is not here")
    return SHARED


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Synced]:
    """What was synchronised to the disk, in its order."""
    done: list[Synced] = []
    fsync = os.fsync

    def noted(number: int) -> None:
        fsync(number)
        done.append(Synced.of(number))

    monkeypatch.setattr(os, "fsync", noted)
    return done
