"""Choosing and preparing the devices of a process."""

from __future__ import annotations

import json
import os

import keras
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.clustering.faiss_backend import limit_gpu_memory
from dce_tf.config import RunSettings
from dce_tf.network.model import PRECISIONS

SLURM_PORT = 8888  # And those above it, where a machine has several tasks.
_MOST_TASKS = 1024  # On one machine.


def configure(run: RunSettings, mixed_precision: str) -> None:
    """Sets what TensorFlow and Keras keep for the whole process.

    GPU memory grows as needed, so that FAISS finds room beside TensorFlow.

    Args:
        run: The settings.
        mixed_precision: One of `PRECISIONS`, for the layers built from now on.

    Raises:
        UsageError: If `--cuda_device` names a GPU that is not there.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if run.cuda_device is not None and gpus:
        if run.cuda_device >= len(gpus):
            raise UsageError(
                f"--cuda_device={run.cuda_device}: TensorFlow sees {len(gpus)} "
                f"GPUs, numbered from 0. Use one below {len(gpus)}."
            )
        gpus = gpus[run.cuda_device : run.cuda_device + 1]
        tf.config.set_visible_devices(gpus, "GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    limit_gpu_memory(run.faiss_memory_mb)
    keras.utils.set_random_seed(run.random_seed)
    if run.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.mixed_precision.set_global_policy(PRECISIONS[mixed_precision])


def make_strategy() -> tf.distribute.Strategy:
    """Returns the strategy that fits what there is.

    `MultiWorkerMirroredStrategy` where `TF_CONFIG`, or Slurm, says that this process is
    one of several; `MirroredStrategy` over all visible GPUs where there are several;
    else the default one, of one device. It must come before any TensorFlow op.

    Raises:
        UsageError: If `TF_CONFIG` is not what TensorFlow expects.
    """
    resolver = find_cluster()
    if resolver is not None:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def find_cluster() -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """Returns what knows the other processes, or None if there are none.

    Raises:
        UsageError: If `TF_CONFIG` is not what TensorFlow expects.
    """
    resolvers = tf.distribute.cluster_resolver
    text = os.environ.get("TF_CONFIG")
    if text:
        try:
            given = json.loads(text)
            given["cluster"]["worker"], given["task"]["index"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"TF_CONFIG={text[:200]} is not understood ({error!r}). Expected such "
                'as {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": '
                '{"type": "worker", "index": 0}}, or unset it for a single process.'
            ) from error
        return resolvers.TFConfigClusterResolver()
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        # Slurm itself gives each task its GPUs (--gpus-per-task); the resolver, which
        # would look for nvidia-smi, is told that there are enough.
        return resolvers.SlurmClusterResolver(
            port_base=SLURM_PORT,
            gpus_per_node=_MOST_TASKS,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
    return None


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
