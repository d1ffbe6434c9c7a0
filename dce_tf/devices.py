"""Choosing and preparing the devices of a process."""

from __future__ import annotations

import os

import keras
import tensorflow as tf

from dce_tf.config import Config
from dce_tf.errors import UsageError
from dce_tf.faiss_backend import limit_gpu_memory
from dce_tf.model import PRECISIONS


def configure(config: Config) -> None:
    """Sets what TensorFlow and Keras keep for the whole process.

    GPU memory grows as needed, so that FAISS finds room beside TensorFlow.

    Raises:
        UsageError: If `--cuda_device` names a GPU that is not there.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if config.cuda_device is not None and gpus:
        if config.cuda_device >= len(gpus):
            raise UsageError(
                f"--cuda_device={config.cuda_device}: TensorFlow sees {len(gpus)} "
                f"GPUs, numbered from 0. Use one below {len(gpus)}."
            )
        gpus = gpus[config.cuda_device : config.cuda_device + 1]
        tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    limit_gpu_memory(config.faiss_memory_mb)
    keras.utils.set_random_seed(config.random_seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(PRECISIONS[config.mixed_precision])


def make_strategy() -> tf.distribute.Strategy:
    """Returns `MirroredStrategy` over all visible GPUs, or a strategy of one device."""
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def describe() -> str:
    """Returns what the run computes on, as a person says it."""
    gpus = tf.config.get_visible_devices("GPU")
    if not gpus:
        return f"CPU, {os.cpu_count()} processors; TensorFlow sees no GPU"
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in gpus
    ]
    return f"{len(gpus)} × {' and '.join(sorted(set(names)))}"
