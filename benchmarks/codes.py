"""Short codes: recall@1 and MAP@R against bytes per image and time per query.

    python -m benchmarks.codes --data_dir DIR [DIR ...] --backbone FILE.keras
        [--seeds 0 1 2] [--epochs 80] [--rescore 100]

Trains two embeddings of 128 numbers on the features of a backbone that is frozen, as
`benchmarks.ablation` does, for each folder with an `index.csv`: one with a single
learner, and a nested one whose eight learners are its first 16, 32, … 128 numbers.
The test is then searched by each code. Its settings were chosen on nothing, and the
means are over seeds. Every query looks for as many images as there are of its class,
so that more than the best `--rescore` are compared exactly where a class is large.
"""

from __future__ import annotations

import argparse
import collections
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from benchmarks.ablation.ideas import BASELINE
from benchmarks.ablation.laboratory import Trained, config_of, read_material, train
from benchmarks.timing import print_machine
from dce_tf.base.files import cache_folder
from dce_tf.clustering.points import unit_length
from dce_tf.export.whitening import fit_whitening
from dce_tf.index import structures
from dce_tf.index.structures import Structure

NESTED = "together, K = 8, nested"
WIDTHS = (16, 32, 64)
TIMED = 200  # Queries that are timed, one by one.
LOSS = "multi_similarity"
HEADINGS = ("data", "code", "bytes", "recall@1", "points lost", "MAP@R", "ms")

Vectors = Any


class Searched(NamedTuple):
    """A test: embeddings, labels, and whether queries are in the gallery themselves."""

    query: Vectors
    query_labels: Any
    gallery: Vectors
    gallery_labels: Any
    leave_one_out: bool

    def changed(self, change: Callable[[Vectors], Any]) -> Searched:
        """Returns the same with other embeddings of both."""
        return self._replace(query=change(self.query), gallery=change(self.gallery))


class Code(NamedTuple):
    """A way to store a gallery: what it is called, its bytes, and what is searched."""

    name: str
    size: int
    test: Searched
    find: Callable[[Vectors, int], Any]


class Figures(NamedTuple):
    """What a code comes to."""

    recall: float
    map_at_r: float
    milliseconds: float


def measure(code: Code) -> Figures:
    """Searches the gallery of a code for each query, and times some."""
    test = code.test
    of_class = collections.Counter(test.gallery_labels.tolist())
    relevant = np.array([of_class[each] for each in test.query_labels.tolist()])
    relevant -= test.leave_one_out
    depth = int(relevant.max()) + test.leave_one_out
    found = code.find(test.query, depth)
    if test.leave_one_out:
        found = np.stack([_others(row, n, depth) for n, row in enumerate(found)])
    right = test.gallery_labels[found] == test.query_labels[:, None]
    ranks = np.arange(1, right.shape[1] + 1)
    right_by_r = right & (ranks <= relevant[:, None])
    precision = np.cumsum(right, axis=1) / ranks
    map_at_r = (precision * right_by_r).sum(axis=1) / np.maximum(relevant, 1)
    times = []
    for query in test.query[:TIMED, None]:
        started = time.perf_counter()
        code.find(query, 10)
        times.append(1e3 * (time.perf_counter() - started))
    return Figures(
        float(right[:, 0].mean()), float(map_at_r.mean()), statistics.median(times)
    )


def _others(row: Any, own: int, depth: int) -> Any:
    """Returns what a query found beside itself; it may have been missed."""
    return row[row != own][: depth - 1]


def searched_as(test: Searched, kind: str) -> Callable[[Vectors, int], Any]:
    """Returns what searches a gallery by a kind of index; small ones too."""
    structure = Structure.build(test.gallery, kind)

    def find(queries: Vectors, k: int) -> Any:
        return structure.search(queries, k)[1]

    return find


def by_code_alone(test: Searched, kind: str) -> Callable[[Vectors, int], Any]:
    """Returns what searches a gallery by its codes, and compares nothing exactly."""
    structure = Structure.build(test.gallery, kind)

    def find(queries: Vectors, k: int) -> Any:
        if structure.kind is None:
            raise ValueError(f"{kind} has no codes.")
        return structure.kind.search(structure.index, queries, k, None)[1]

    return find


def codes(
    plain: Searched, own: Vectors, raw: Searched, nested: Searched, rescore: int
) -> Iterator[Code]:
    """Yields what is compared, the whole vectors first.

    Args:
        plain: The test of one learner.
        own: Of the same model, the training images before they are scaled.
        raw: Of the same model, the test before it is scaled.
        nested: The test of nested learners.
        rescore: Candidates that are compared exactly.
    """
    dim = plain.gallery.shape[1]
    yield Code(f"float32 × {dim}", 4 * dim, plain, searched_as(plain, "exact"))
    for kind, size in (("int8", dim), ("binary", dim // 8), ("binary(bits=64)", 8)):
        yield from _with_and_without(kind, size, plain, rescore, "")
    for kept in (*WIDTHS, dim):
        test = raw.changed(fit_whitening(own, kept))
        yield Code(f"whitened to {kept}", 4 * kept, test, searched_as(test, "exact"))
        if kept == min(WIDTHS):
            yield from _with_and_without(
                "int8", kept, test, rescore, "whitened to 16, "
            )
        if kept == dim:
            yield from _with_and_without(
                "binary", kept // 8, test, rescore, f"whitened to {dim}, "
            )
    for kept in (*WIDTHS, dim):
        test = nested.changed(lambda vectors, kept=kept: unit_length(vectors[:, :kept]))
        name = f"nested, first {kept}"
        yield Code(name, 4 * kept, test, searched_as(test, "exact"))
        if kept == min(WIDTHS):
            yield from _with_and_without("int8", kept, test, rescore, f"{name}, ")


def _with_and_without(
    kind: str, size: int, test: Searched, rescore: int, of: str
) -> Iterator[Code]:
    yield Code(f"{of}{kind}, not compared again", size, test, by_code_alone(test, kind))
    name, _, options = kind.removesuffix(")").partition("(")
    options = ", ".join(filter(None, [options, f"rescore={rescore}"]))
    find = searched_as(test, f"{name}({options})")
    yield Code(f"{of}{kind}, {rescore} compared again", size, test, find)


def tests_of(trained: Trained) -> tuple[Searched, Searched, Vectors]:
    """Returns the test of a model, the same before it is scaled, and its training."""
    model, (query, gallery) = trained.trainer.model, trained.searches["test"]

    def searched(embed: Callable[[Vectors], Any]) -> Searched:
        vectors = [np.asarray(embed(part.features)) for part in (query, gallery)]
        labels = [np.asarray(part.images.labels) for part in (query, gallery)]
        return Searched(
            vectors[0], labels[0], vectors[1], labels[1], leave_one_out=query is gallery
        )

    raw = searched(model.project)
    return searched(model.embed), raw, np.asarray(model.project(trained.own.features))


def main() -> None:
    """Trains, searches and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", nargs="+", required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--rescore", type=int, default=100)
    asked = parser.parse_args()
    structures.SCANNED = 0  # Else galleries this small are compared one by one.
    cache = cache_folder() / "features"
    table = Table(title=f"Codes; means over seeds {asked.seeds}")
    for heading in HEADINGS:
        table.add_column(
            heading, justify="left" if heading in HEADINGS[:2] else "right"
        )
    for folder in asked.data_dir:
        where = {"dataset": "csv", "data_dir": folder}
        material = read_material(where, asked.backbone, cache)
        found: dict[tuple[str, int], list[Figures]] = collections.defaultdict(list)
        for seed in asked.seeds:
            trained = [
                train(config_of(idea, LOSS, seed, asked.epochs), material)
                for idea in (BASELINE, NESTED)
            ]
            (plain, raw, own), (nested, _, _) = map(tests_of, trained)
            for code in codes(plain, own, raw, nested, asked.rescore):
                found[code.name, code.size].append(measure(code))
            # So that what was measured is not lost if a later run fails.
            print(folder, seed, dict(found), flush=True)
        whole = statistics.mean(each.recall for each in next(iter(found.values())))
        for (name, size), figures in found.items():
            recall, map_at_r, each = (
                statistics.mean(values) for values in zip(*figures, strict=True)
            )
            table.add_row(
                Path(folder).name,
                name,
                str(size),
                f"{recall:.3f}",
                f"{100 * (whole - recall):.1f}",
                f"{map_at_r:.3f}",
                f"{each:.2f}",
            )
    print_machine(table)


if __name__ == "__main__":
    main()
