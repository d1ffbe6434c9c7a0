"""Embedding and training on a Ray cluster of two nodes on this machine."""

import ast
import dataclasses
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

# Before TensorFlow's threads, and before the tests change anything of the environment.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # As `on_ray`, which comes later, sets it.
import ray
from ray.cluster_utils import Cluster as Nodes

from dce_tf import cli
from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.embedding import on_ray
from dce_tf.embedding.image_list import of_folder
from dce_tf.embedding.job import Job, embed
from dce_tf.embedding.on_ray import Cluster, PartEmbedder, embed_on_ray
from dce_tf.export.served import ServedModel
from dce_tf.index.embeddings import read_header
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.train import train
from tests import fakes
from tests.runs.test_train import flags_of
from tests.runs.test_workers import assert_same_runs
from tests.saved_models import write_saved_model

# Ray Data sets, as it starts, options that it itself has given up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")

NUMBER = 80
CONFIG = Config(evaluation_batch_size=4)


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    # Sockets cannot have names as long as pytest's folders.
    with (
        tempfile.TemporaryDirectory(prefix="ray-") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("RAY_TMPDIR", folder)  # In ray/ lies where the cluster is.
        folder = str(Path(folder, "ray"))
        Path(folder).mkdir()
        node = {
            "num_cpus": 1,
            "object_store_memory": 80 << 20,
            "include_dashboard": False,
            "temp_dir": folder,
        }
        quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 3}
        quick["memory_monitor_refresh_ms"] = 0  # What else runs here is not Ray's.
        head = node | {"_system_config": quick}
        found = Nodes(initialize_head=True, head_node_args=head)
        found.node = node
        yield found
        found.shutdown()


@pytest.fixture
def nodes(cluster: Nodes) -> Nodes:
    if not cluster.worker_nodes:
        cluster.add_node(**cluster.node)
    return cluster


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(NUMBER):
        fakes.write_image(folder / f"{number:02d}.png", number, rng, 24)
    (folder / "07.png").write_bytes(b"no image at all")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    version = write_saved_model(tmp_path_factory.mktemp("export") / "1")
    return ServedModel(version, batch_size=CONFIG.data.evaluation_batch_size)


class SlowEmbedder(PartEmbedder):
    """Leaves a file that says on which node it is, and waits for another's."""

    folder = ""

    def __call__(self, batch: dict) -> dict:
        Path(self.folder, ray.get_runtime_context().get_node_id()).touch()
        marks, deadline = Path(self.folder), time.monotonic() + 120
        while len(list(marks.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        return super().__call__(batch)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# First, as it would join the cluster of the other tests.
OWN_CLUSTER = """
import os, re
from pathlib import Path
import ray
from dce_tf.embedding.on_ray import _connected

def descendants(pid):
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            yield child
            yield from descendants(child)

def listening():
    found = {}
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found[fields[9]] = fields[1].split(":")[0]
    return found

with _connected(None):
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    addresses = listening()
    found = []
    for pid in ["self", *descendants("self")]:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inode = re.fullmatch(r"socket:\\[(\\d+)\\]", str(handle.readlink()))
            except OSError:
                continue
            if inode and inode[1] in addresses:
                found.append(addresses[inode[1]])
    print(sorted(set(found)), len(found), os.environ.get("RAY_AUTH_MODE"))
"""


@pytest.mark.slow
def test_cluster_of_its_own_listens_to_this_machine_only_and_asks_for_a_token(
    tmp_path: Path,
) -> None:
    # The cluster of the tests before leaves variables of its own.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", OWN_CLUSTER],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # 127.0.0.1, as the kernel writes it for IPv4 and for IPv6.
    loopback = ["0000000000000000FFFF00000100007F", "0100007F"]
    found, count, mode = re.fullmatch(
        r"(\[.*\]) (\d+) (\w+)", done.stdout.splitlines()[-1]
    ).groups()
    assert set(ast.literal_eval(found)) <= set(loopback)
    assert int(count) >= 5
    assert mode == "token"
    assert "Token authentication is enabled" not in done.stderr


@pytest.mark.slow
def test_lost_node_costs_nothing_and_the_result_is_that_of_one_machine(
    nodes: Nodes, model: ServedModel, images: Path, tmp_path: Path, monkeypatch
) -> None:
    job = Job(
        model, of_folder(images), tmp_path / "ray", part_size=4, max_bad_images=0.5
    )
    marks = tmp_path / "nodes"
    marks.mkdir()
    monkeypatch.setattr(SlowEmbedder, "folder", str(marks))
    monkeypatch.setattr(on_ray, "PartEmbedder", SlowEmbedder)
    # Its module is not there for the actors.
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    (doomed,) = nodes.worker_nodes
    written_before = []

    def engine(*given):
        cluster = Cluster(nodes.address)
        for done in embed_on_ray(*given, config=CONFIG, cluster=cluster):
            yield done
            if (marks / doomed.node_id).exists() and not written_before:
                written_before.append(len(list(job.folder.glob("part-*"))))
                nodes.remove_node(doomed, allow_graceful=False)

    embed(job, Display(quiet=True), engine)
    assert len(list(marks.iterdir())) == 2
    assert written_before[0] < NUMBER / job.part_size - 2
    alone = dataclasses.replace(job, folder=tmp_path / "alone")
    embed(alone, Display(quiet=True))
    assert files(job.folder) == files(alone.folder)
    assert "bad-00000-of-00001-000001.parquet" in files(job.folder)


@pytest.mark.slow
def test_command_goes_on_where_it_failed_with_images_of_a_store(
    nodes: Nodes,
    model: ServedModel,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where the actors do not find this program by themselves.
    monkeypatch.chdir(tmp_path)
    names = [f"{number:02d}.png" for number in range(NUMBER)]
    listing = tmp_path / "list.parquet"
    pq.write_table(
        pa.table(
            {"path": names, "id": range(NUMBER), "label": ["a", "b"] * (NUMBER // 2)}
        ),
        listing,
    )
    hindrance = images / "42.png"
    image = hindrance.read_bytes()
    hindrance.unlink()
    hindrance.mkdir()
    words = [
        "embed",
        str(model.folder),
        f"--images=file://{listing}",
        f"--image_root=file://{images}",
        "--max_bad_images=0.5",
        "--part_size=20",
    ]
    on_cluster = [
        f"--output_dir={tmp_path / 'ray'}",
        "--engine=ray",
        f"--ray_address={nodes.address}",
        "--num_actors=1",
    ]
    assert cli.main([*words, *on_cluster]) == 1
    told = capsys.readouterr().err
    assert "Error: An actor failed: Cannot open for reading" in told
    assert "42.png' is a directory (OSError). What is done is kept" in told
    hindrance.rmdir()
    hindrance.write_bytes(image)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "ray").iterdir()}
    assert cli.main([*words, *on_cluster]) == 0
    kept = 20 * len([path for path in before if path.name.startswith("part")])
    assert f"{kept} were there" in capsys.readouterr().out
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written
    assert cli.main([*words, f"--output_dir={tmp_path / 'alone'}"]) == 0
    assert files(tmp_path / "ray") == files(tmp_path / "alone")
    assert read_header(next((tmp_path / "ray").glob("part-*"))).image_root == (
        f"file://{images}"
    )


def test_flags_of_ray_are_checked(tmp_path: Path, capsys, monkeypatch) -> None:
    words = [
        "embed",
        str(write_saved_model(tmp_path / "1")),
        f"--output_dir={tmp_path}",
    ]
    for more, message in (
        (["--ray_address=auto"], "--ray_address goes with --engine=ray"),
        (["--num_actors=2"], "--num_actors goes with --engine=ray"),
        (["--engine=ray", "--cuda_device=0"], "Ray itself gives each actor its GPU"),
    ):
        assert cli.main([*words, *more]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "dce_tf.embedding.on_ray")
    monkeypatch.delattr("dce_tf.embedding.on_ray")
    assert cli.main([*words, "--engine=ray"]) == 2
    assert "`pip install '.[scale]'`" in capsys.readouterr().err


@pytest.mark.slow
def test_nothing_connects_by_itself_once_the_connection_is_gone() -> None:
    # A thread of Ray Data that is still at work would, to a cluster without this code.
    code = "from dce_tf.embedding.on_ray import ray; ray.put(1)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Ray has not been started yet" in done.stderr


def test_cluster_that_does_not_answer_is_told(
    model: ServedModel, images: Path, tmp_path: Path
) -> None:
    job = Job(model, of_folder(images), tmp_path / "out")
    engine = partial(
        embed_on_ray, config=CONFIG, cluster=Cluster("no-such-scheme://here")
    )
    with pytest.raises(UsageError, match="no cluster answers"):
        embed(job, Display(quiet=True), engine)


@pytest.mark.slow
def test_training_goes_on_when_a_node_is_lost_and_ends_as_on_one_machine(
    nodes: Nodes, config: Config, tmp_path: Path
) -> None:
    settings = config.replace(
        loss="multi_similarity",
        dropout=0.0,
        backbone_lr=1e-4,
        num_epochs=3,
        full_embedding_epoch=1,
        finetune_epoch=2,
        export=False,
        kmeans_points=40,
        features_dir=str(tmp_path / "features"),
        exp="ray",
    )
    output = tmp_path / "output.txt"
    assert settings.run.log_dir == str(tmp_path / "log")
    flags = flags_of(settings.replace(log_dir="log"))
    words = ["--num_workers=2", f"--storage_path={tmp_path}", "--", *flags]
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, ROOT / "launch" / "ray_train.py", *words],
            env={**os.environ, "RAY_ADDRESS": nodes.address},
            cwd=tmp_path,
            stdout=file,
            stderr=file,
        )
    run = RunDirectory.of(settings)
    deadline = time.monotonic() + 300
    while len(run.metrics()) < 2:
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)
    (doomed,) = nodes.worker_nodes
    nodes.remove_node(doomed, allow_graceful=False)
    nodes.add_node(**nodes.node)
    assert process.wait(timeout=300) == 0, output.read_text()
    told = output.read_text()
    assert "Going on after epoch" in told
    assert told.count("Started training worker group of size 2") >= 2
    one = settings.replace(features_dir=None, exp="one")
    train(one)
    assert_same_runs(run, RunDirectory.of(one))
