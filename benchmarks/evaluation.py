"""A whole evaluation against the bare FAISS search it contains, and another library's.

    python -m benchmarks.evaluation [--cases sop inshop million] [--repeats 3]

Embeddings of 128 numbers are drawn around class centres; all metrics are computed but
those of k-means. The calculator of pytorch-metric-learning, where it is installed,
computes precision@1, R-precision and MAP@R, no more. Each case is a process of its own,
whose memory at its peak is that of Python, the embeddings and one evaluation.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import multiprocessing
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.division import draw_features
from benchmarks.timing import alternate, peak_memory, print_machine
from dce_tf.clustering.faiss_backend import exact_index
from dce_tf.retrieval import evaluate_retrieval

DIM = 128
SPREAD = 1.4  # recall@1 is about 0.7 in the case sop.
SEARCHED_AT_ONCE = 4096  # Queries; FAISS would hold all distances of a larger block.


@dataclasses.dataclass(frozen=True)
class Case:
    """What is searched.

    Attributes:
        gallery: Number of images to search in.
        classes: Of how many classes.
        recall_at: The K of recall@K.
        queries: Number of images to search for; 0 for the gallery's own, each among
            all others.
    """

    gallery: int
    classes: int
    recall_at: tuple[int, ...]
    queries: int = 0

    @property
    def text(self) -> str:
        """What the table calls it."""
        queries = f"{self.queries:,}" if self.queries else "each"
        return f"{queries} in {self.gallery:,}"


CASES = {
    "sop": Case(60_502, 11_316, (1, 10, 100, 1000)),
    "inshop": Case(12_612, 3_985, (1, 10, 20, 30, 40, 50), queries=14_218),
    "million": Case(1_000_000, 100_000, (1, 10, 100, 1000), queries=10_000),
}


CALCULATOR = "pytorch-metric-learning"


def searches(case: Case, spread: float) -> dict[str, Callable[[], Any]]:
    """Returns the evaluation, the bare search, and the other library's evaluation."""
    total = case.gallery + case.queries
    embeddings, labels = draw_features(total, case.classes, DIM, spread)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    gallery, gallery_labels = embeddings[: case.gallery], labels[: case.gallery]
    query, query_labels = gallery, gallery_labels
    if case.queries:
        query, query_labels = embeddings[case.gallery :], labels[case.gallery :]

    def evaluate() -> None:
        evaluate_retrieval(
            query,
            query_labels,
            gallery,
            gallery_labels,
            recall_at=case.recall_at,
            leave_one_out=not case.queries,
        )

    def bare_search() -> None:
        index = exact_index(DIM, "auto")
        index.add(gallery)
        for first in range(0, len(query), SEARCHED_AT_ONCE):
            block = query[first : first + SEARCHED_AT_ONCE]
            index.search(block, max(case.recall_at) + 1)

    def calculate() -> None:
        import torch
        from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

        names = ("precision_at_1", "r_precision", "mean_average_precision_at_r")
        calculator = AccuracyCalculator(names, device=torch.device("cpu"))
        arrays = (query, query_labels, gallery, gallery_labels)
        tensors = [torch.from_numpy(array) for array in arrays]
        calculator.get_accuracy(*tensors, ref_includes_query=not case.queries)

    parts = {"evaluation": evaluate, "bare FAISS search": bare_search}
    if importlib.util.find_spec("pytorch_metric_learning"):
        parts[CALCULATOR] = calculate
    return parts


def measure(
    case: Case, spread: float, repeats: int
) -> tuple[dict[str, list[float]], float]:
    """Returns the seconds of each, and the peak memory after one evaluation, in MB.

    The other library is left out where it asks for more memory than there is.
    """
    parts = searches(case, spread)
    parts["evaluation"]()
    peak = peak_memory()
    try:
        parts.get(CALCULATOR, lambda: None)()
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        del parts[CALCULATOR]
    return alternate(parts, repeats), peak


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--spread", type=float, default=SPREAD)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    table = Table(title=f"Evaluation of {DIM} numbers per image, medians in seconds")
    columns = ("case", "searched", "evaluation", "bare FAISS", "ratio", "peak MB")
    columns = (*columns, CALCULATOR)
    for column in columns:
        table.add_column(column, justify="left" if column == "case" else "right")
    there = importlib.util.find_spec("pytorch_metric_learning")
    missing = "out of memory" if there else "not here"
    for name in args.cases:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak = pool.apply(
                measure, (CASES[name], args.spread, args.repeats)
            )
        ours, bare, *others = seconds.values()
        ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        times = (f"{statistics.median(runs):.2f}" for runs in (ours, bare))
        cells = [*times, f"{ratio:.2f}", f"{peak:.0f}"]
        cells += [f"{statistics.median(runs):.2f}" for runs in others] or [missing]
        table.add_row(name, CASES[name].text, *cells)
    print_machine(table)


if __name__ == "__main__":
    main()
