import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tensorflow_config

SHARED = Path(__file__).parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run the slow tests")


def pytest_configure(config: pytest.Config) -> None:
    # Two logical devices, for the tests of MirroredStrategy.
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    gpu = bool(tf.config.list_physical_devices("GPU"))
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow: needs --slow"))
        if "gpu" in item.keywords and not gpu:
            item.add_marker(pytest.mark.skip(reason="TensorFlow sees no GPU"))


@pytest.fixture(autouse=True)
def ends_determinism() -> Iterator[None]:
    """Keeps what --deterministic sets for the whole process from the next test."""
    yield
    tensorflow_config.disable_op_determinism()


@pytest.fixture(scope="session")
def two_devices() -> tf.distribute.Strategy:
    # One for all tests: the collectives of two strategies in one process collide.
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the folder ../shared with real photographs is not here")
    return SHARED
