"""Which GPUs there are, and what stands in their way, in a sentence each."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import shutil
import subprocess

SMALL_CARD_MB = 6000
_QUERY = "name,driver_version,memory.total,memory.used"


@dataclasses.dataclass(frozen=True)
class Card:
    """A GPU as the driver describes it.

    Attributes:
        name: Of the product.
        driver: Version of the driver.
        total_mb: Memory.
        used_mb: Memory that is taken, by anybody.
    """

    name: str
    driver: str
    total_mb: int
    used_mb: int


def find_cards() -> list[Card]:
    """Asks the driver for the GPUs; none where there is no driver."""
    lines = _ask(f"--query-gpu={_QUERY}")
    fields = [[part.strip() for part in line.split(",")] for line in lines]
    return [Card(f[0], f[1], int(f[2]), int(f[3])) for f in fields if len(f) == 4]


def used_mb() -> int:
    """Returns the memory in use on the first GPU, in MB; 0 without one."""
    cards = find_cards()
    return cards[0].used_mb if cards else 0


def free_mb() -> int:
    """Returns the memory that is free on the first GPU, in MB; 0 without one."""
    cards = find_cards()
    return cards[0].total_mb - cards[0].used_mb if cards else 0


def _ask(query: str) -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, query, "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines() if done.returncode == 0 else []


def problems(
    cards: list[Card], seen_by_tensorflow: int, faiss_package: str | None
) -> list[str]:
    """Says what is not as it should be, and what still runs.

    Args:
        cards: The GPUs as the driver sees them.
        seen_by_tensorflow: How many TensorFlow sees.
        faiss_package: The FAISS that is installed: `"faiss-gpu"`, `"faiss-cpu"`, …
    """
    found = []
    if not cards:
        found.append(
            "No NVIDIA driver answers (nvidia-smi), so there is no GPU to measure. "
            "Everything runs on the CPU: pass --cpu for a small run of all parts."
        )
    elif not seen_by_tensorflow:
        found.append(
            f"The driver ({cards[0].driver}) sees {cards[0].name}, but TensorFlow does "
            "not: the driver may be too old for its CUDA, or the package is the CPU "
            "build. Install requirements.txt and a current driver; what uses FAISS "
            "alone still runs."
        )
    if cards and faiss_package == "faiss-cpu":
        found.append(
            "faiss-cpu is installed beside a GPU: clustering and search run on the "
            "CPU. Run `pip uninstall -y faiss-cpu && pip install faiss-gpu`."
        )
    for number, card in enumerate(cards):
        if card.total_mb < SMALL_CARD_MB:
            found.append(
                f"GPU {number}, {card.name}, has {card.total_mb} MB: the larger "
                "batches will not fit, and say so; the others still run."
            )
        if card.used_mb > 0.1 * card.total_mb:
            found.append(
                f"GPU {number}, {card.name}, has {card.used_mb} of {card.total_mb} MB "
                "in use by another process: figures will be too low, and memory may "
                "run out. End that process first if you can."
            )
    return found


def installed_faiss() -> str | None:
    """Returns the name of the FAISS package, or None without one."""
    for package in ("faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11", "faiss-cpu"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        return package
    return None


def describe(cards: list[Card]) -> list[str]:
    """Returns what the page says of the machine, one sentence per line."""
    versions = ", ".join(
        f"{package} {importlib.metadata.version(package)}"
        for package in ("tensorflow", "keras", installed_faiss() or "numpy")
    )
    if not cards:
        return [f"No GPU; {versions}."]
    names = ", ".join(sorted({card.name for card in cards}))
    return [
        f"{len(cards)} × {names}, {cards[0].total_mb:,} MB each, driver "
        f"{cards[0].driver}; {versions}."
    ]
