import importlib.metadata

import faiss
import numpy as np
import pytest

from dce_tf.base.errors import UsageError
from dce_tf.clustering import faiss_backend


def pretend(monkeypatch: pytest.MonkeyPatch, built: bool, gpus: int) -> None:
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus)
    if built:
        monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    else:
        monkeypatch.delattr(faiss, "StandardGpuResources", raising=False)


@pytest.mark.parametrize(
    ("backend", "gpus", "expected"),
    [
        ("auto", 0, False),
        ("auto", 2, True),
        ("faiss", 2, False),
        ("faiss-gpu", 1, True),
    ],
)
def test_gpu_is_used_where_asked_for_and_there(
    monkeypatch: pytest.MonkeyPatch, backend: str, gpus: int, expected: bool
) -> None:
    pretend(monkeypatch, built=True, gpus=gpus)
    assert faiss_backend.use_gpu(backend) is expected


@pytest.mark.parametrize(
    ("built", "message"), [(True, "sees no GPU"), (False, "is the CPU build")]
)
def test_missing_gpu_says_what_was_found(
    monkeypatch: pytest.MonkeyPatch, built: bool, message: str
) -> None:
    pretend(monkeypatch, built=built, gpus=0)
    with pytest.raises(UsageError, match=message):
        faiss_backend.use_gpu("faiss-gpu")


def test_two_builds_in_one_environment_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        if name in ("faiss-cpu", "faiss-gpu"):
            return "1.15"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(UsageError, match="pip uninstall -y faiss-cpu faiss-gpu"):
        faiss_backend.check_installation()


def test_one_build_is_fine() -> None:
    faiss_backend.check_installation()


def test_exact_index_finds_the_nearest() -> None:
    index = faiss_backend.exact_index(2, "faiss")
    index.add(np.array([[0, 0], [3, 4]], np.float32))
    distances, found = index.search(np.array([[3, 3]], np.float32), 2)
    assert found.tolist() == [[1, 0]]
    assert distances.tolist() == [[1, 18]]


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Unknown --backend=cuda\. Use one of auto"):
        faiss_backend.use_gpu("cuda")


@pytest.mark.parametrize(("num_neighbours", "moved"), [(2048, True), (2049, False)])
def test_searches_too_wide_for_a_gpu_stay_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, num_neighbours: int, moved: bool
) -> None:
    pretend(monkeypatch, built=True, gpus=1)
    move = "index_cpu_to_gpu_multiple_py"
    monkeypatch.setattr(faiss, move, lambda *_: "on the GPU")
    index = faiss_backend.exact_index(2, "faiss-gpu", num_neighbours)
    assert (index == "on the GPU") is moved
