"""Whole runs of several processes on this machine."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.runs import devices
from dce_tf.runs.outcome import load_best_model
from dce_tf.runs.session import check_replicas
from dce_tf.runs.train import train
from dce_tf.training.workers import Workers
from tests.runs.test_train import flags_of, numbers

MAIN = Path(__file__).parents[2] / "main.py"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(config: Config, count: int, folder: Path) -> list[subprocess.Popen]:
    """Starts a cluster; the output of each process goes to a file."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    processes = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        cluster = json.dumps({"cluster": {"worker": addresses}, "task": task})
        with (folder / f"worker-{index}.txt").open("a") as output:
            processes.append(
                subprocess.Popen(
                    [sys.executable, MAIN, *flags_of(config)],
                    env={**os.environ, "TF_CONFIG": cluster},
                    stdout=output,
                    stderr=output,
                )
            )
    return processes


def assert_same_runs(run: RunDirectory, other: RunDirectory) -> None:
    """Checks that two runs went alike, as far as sums in another order do."""
    for ours, alone in zip(numbers(run), numbers(other), strict=True):
        assert ours.keys() == alone.keys()
        assert ours["stage"] == alone["stage"]
        assert ours.get("cluster_sizes") == alone.get("cluster_sizes")
        losses = [line.get("loss", 0.0) for line in (ours, alone)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
        assert ours["map@r"] == pytest.approx(alone["map@r"], abs=0.02)
    weights = [load_best_model(each).get_weights() for each in (other, run)]
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_two_processes_end_as_one_though_one_was_killed(
    config: Config, tmp_path: Path
) -> None:
    settings = config.replace(
        loss="multi_similarity",
        dropout=0.0,
        backbone_lr=1e-4,
        export=False,
        exp="two",
    )
    run = RunDirectory.of(settings)
    processes = start(settings, 2, tmp_path)
    deadline = time.monotonic() + 300
    while len(run.metrics()) < 3:
        assert all(process.poll() is None for process in processes), [
            path.read_text() for path in sorted(tmp_path.glob("worker-*.txt"))
        ]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    processes[1].kill()
    processes[1].wait()
    assert processes[0].wait(timeout=300) == 1
    told = (tmp_path / "worker-0.txt").read_text()
    assert "Worker 0 of 2 has lost another one" in told
    assert run.report() is None

    for process in start(settings, 2, tmp_path):
        assert process.wait(timeout=300) == 0
    assert "Going on after epoch" in (tmp_path / "worker-0.txt").read_text()
    one = settings.replace(exp="one")
    train(one)
    assert_same_runs(run, RunDirectory.of(one))


def test_one_process_is_its_own_chief() -> None:
    workers = Workers(tf.distribute.get_strategy())
    assert workers.is_chief
    assert workers.part_of([1, 2, 3]) == [1, 2, 3]
    assert workers.agree(7, True) == (7, True)
    assert workers.from_chief(lambda: {1: "kept as it is"}) == {1: "kept as it is"}
    array = np.ones((2, 3), np.float32)
    assert workers.gather(array) is array
    workers.check_same("anything", "data")


def test_parts_of_all_processes_are_the_whole() -> None:
    workers = Workers(tf.distribute.get_strategy())
    workers.count = 3
    parts = []
    for workers.index in range(3):
        parts += workers.part_of(range(8))
    assert parts == list(range(8))


@pytest.mark.parametrize(
    "text",
    ["no JSON", "{}", '{"cluster": {"ps": ["a:1"]}, "task": {"index": 0}}', "[]"],
)
def test_cluster_that_is_not_understood_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError, match=r"TF_CONFIG=.*Expected such as"):
        devices.find_cluster()


def test_slurm_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert devices.find_cluster() is None
    for name, value in {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "node[1-2]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
        "SLURM_PROCID": "3",
    }.items():
        monkeypatch.setenv(name, value)
    resolver = devices.find_cluster()
    addresses = resolver.cluster_spec().as_dict()["worker"]
    assert addresses == ["node1:8888", "node1:8889", "node2:8888", "node2:8889"]
    assert (resolver.task_type, resolver.task_id) == ("worker", 3)


@pytest.mark.parametrize(
    ("settings", "replicas", "message"),
    [
        ({"batch_size": 80}, 3, "nearest that works is --batch_size=84"),
        ({"batch_size": 80, "mining": "replica"}, 8, "whole class groups.*=64"),
        ({"cluster_features": "running"}, 2, "--cluster_features=pass"),
    ],
)
def test_batches_that_cannot_be_cut_are_refused(
    settings: dict, replicas: int, message: str
) -> None:
    config = Config(**settings)
    with pytest.raises(UsageError, match=message):
        check_replicas(config, replicas)
    check_replicas(config, 1)
