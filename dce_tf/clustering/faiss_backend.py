"""FAISS for clustering and evaluation: what there is, and how it is asked for."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import faiss

from dce_tf.base.errors import UsageError

BACKENDS = ("auto", "faiss", "faiss-gpu")

# The most neighbours that FAISS selects on a GPU.
MOST_ON_GPU = 2048

_GPU_PACKAGES = ("faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")


def check_installation() -> None:
    """Checks that the CPU and the GPU build are not in one environment.

    Raises:
        UsageError: If they are: they overwrite each other's files.
    """
    installed = [name for name in ("faiss-cpu", *_GPU_PACKAGES) if _is_installed(name)]
    if len(installed) > 1:
        raise UsageError(
            f"{' and '.join(installed)} are both installed and overwrite each other. "
            f"Run `pip uninstall -y {' '.join(installed)}`, then install only one."
        )


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def use_gpu(backend: str) -> bool:
    """Returns whether FAISS is to work on a GPU.

    Args:
        backend: `"faiss"` never, `"faiss-gpu"` always, `"auto"` if there is one.

    Raises:
        UsageError: If a GPU is asked for and FAISS cannot use one, or `backend` is
            none of `BACKENDS`.
    """
    if backend not in BACKENDS:
        raise UsageError(
            f"Unknown --backend={backend}. Use one of {', '.join(BACKENDS)}."
        )
    built = hasattr(faiss, "StandardGpuResources")
    seen = faiss.get_num_gpus() if built else 0
    if backend == "faiss-gpu" and not seen:
        found = "sees no GPU" if built else "has no GPU support: it is the CPU build"
        raise UsageError(
            f"--backend=faiss-gpu: the FAISS installed {found}. Use --backend=auto, or "
            "install requirements.txt on a machine with an NVIDIA GPU."
        )
    return backend != "faiss" and seen > 0


def limit_gpu_memory(megabytes: int | None) -> None:
    """Bounds what FAISS reserves on each GPU for its temporary needs.

    Args:
        megabytes: How much; None leaves FAISS's own choice, up to 1.5 GB.
    """
    _LIMIT.clear()
    if megabytes is not None:
        _LIMIT.append(megabytes << 20)


_LIMIT: list[int] = []


def exact_index(dim: int, backend: str, num_neighbours: int = 1) -> Any:
    """Returns an empty index that searches exactly, by squared Euclidean distance.

    Args:
        dim: Width of the vectors.
        backend: See `use_gpu`.
        num_neighbours: The most that a search will ask for. Beyond `MOST_ON_GPU` the
            index stays on the CPU, whatever the backend.
    """
    index = faiss.IndexFlatL2(dim)
    if not use_gpu(backend) or num_neighbours > MOST_ON_GPU:
        return index
    resources = [faiss.StandardGpuResources() for _ in range(faiss.get_num_gpus())]
    for each in resources if _LIMIT else ():
        each.setTempMemory(_LIMIT[0])
    return faiss.index_cpu_to_gpu_multiple_py(resources, index)


def kmeans(dim: int, num_clusters: int, *, backend: str, **settings: Any) -> Any:
    """Returns FAISS's k-means over all points it will be given, to be trained.

    Args:
        dim: Width of the vectors.
        num_clusters: How many clusters.
        backend: See `use_gpu`.
        **settings: Of `faiss.ClusteringParameters`.
    """
    built = faiss.Kmeans(
        dim,
        num_clusters,
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        min_points_per_centroid=1,
        max_points_per_centroid=10**9,
        **settings,
    )
    built.index = exact_index(dim, backend)
    return built
