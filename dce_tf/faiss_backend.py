"""The one file that imports FAISS: what there is, and how it is asked for."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import faiss

from dce_tf.errors import UsageError

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


def exact_index(dim: int, backend: str, num_neighbours: int = 1) -> Any:
    """Returns an empty index that searches exactly, by squared Euclidean distance.

    Args:
        dim: Width of the vectors.
        backend: See `use_gpu`.
        num_neighbours: The most that a search will ask for. Beyond `MOST_ON_GPU` the
            index stays on the CPU, whatever the backend.
    """
    index = faiss.IndexFlatL2(dim)
    on_gpu = use_gpu(backend) and num_neighbours <= MOST_ON_GPU
    return faiss.index_cpu_to_all_gpus(index) if on_gpu else index


def kmeans(dim: int, num_clusters: int, *, backend: str, **settings: Any) -> Any:
    """Returns FAISS's k-means over all points it will be given, to be trained.

    Args:
        dim: Width of the vectors.
        num_clusters: How many clusters.
        backend: See `use_gpu`.
        **settings: Of `faiss.ClusteringParameters`.
    """
    return faiss.Kmeans(
        dim,
        num_clusters,
        gpu=use_gpu(backend),
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
        min_points_per_centroid=1,
        max_points_per_centroid=10**9,
        **settings,
    )
