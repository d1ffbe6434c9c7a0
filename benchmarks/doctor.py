"""What the doctor finds of what is planted, beside perceptual hashes and cleanlab.

    python -m benchmarks.doctor --dogs=DIR --grocery=DIR --backbone=FILE.keras
        [--seed=0] [--features=DIR] [--reports=DIR]
    python -m benchmarks.doctor --size=1000000

Into the CSV index of each DIR it plants: 1 % copies, half byte for byte and half scaled
and encoded again; 20 leaks, copies of test images in train, half of them encoded again;
5 % wrong labels; 20 photographs of the other data set; ten pictures each made dark,
blurred, empty and tiny; three classes under two names, and three pairs of classes under
one. Features are those of the backbone, which is not trained; --features keeps them.

`flagged` counts findings, `before` those of them that are there without anything
planted; `precision` is over all flagged, `new` over the others. --size draws embeddings
of 128 numbers instead, for time and memory.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rich.table import Table
from scipy import sparse

from benchmarks.doctor_planting import Planted, plant
from benchmarks.timing import peak_memory, print_machine
from dce_tf.datasets.csv_index import read_csv
from dce_tf.doctor.duplicates import Copies, find_duplicates
from dce_tf.doctor.examining import Examination, examine
from dce_tf.doctor.findings import Finding
from dce_tf.doctor.nearest import Vectors, find_nearest
from dce_tf.doctor.pictures import Pictures, look_at
from dce_tf.doctor.population import Population
from dce_tf.doctor.report import write_report
from dce_tf.retrieval.vectors import comparable
from dce_tf.runs.plain import plain_config
from dce_tf.runs.sources import find_source
from dce_tf.training.pipelines import FileReader

HEADINGS = (
    "data", "finding", "by", "planted", "found", "recall", "flagged", "before",
    "precision", "new",
)  # fmt: skip
COPIES = ("leak", "duplicate_across_classes", "duplicate")
_IMAGE_SIZE, _MOST_PIXELS = 160, 10**8
_BITS = (4, 8)
_NEIGHBOURS = 10  # Of the probabilities that cleanlab gets.


@dataclasses.dataclass(frozen=True, eq=False)
class Patient:
    """A data set with its features, before or after planting."""

    population: Population
    features: Vectors
    pictures: Pictures

    def examine(self) -> Examination:
        """Returns what the doctor says."""
        return examine(self.population, self.features, self.pictures)

    def paths(self, rows: Iterable[int]) -> frozenset[str]:
        """Returns what does not change with the rows."""
        return frozenset(self.population.paths[row] for row in rows)


class Features:
    """Features of a model file; those of images as they are may be kept.

    Args:
        backbone: A `.keras` file.
        folder: Where they are kept, or None.
    """

    def __init__(self, backbone: Path, folder: Path | None) -> None:
        given = {"dataset": "csv", "image_size": _IMAGE_SIZE}
        config = plain_config(given)
        self._embedder = find_source(backbone).open(config, FileReader())
        self._folder = folder

    def of_data_set(self, name: str, paths: tuple[str, ...]) -> Vectors:
        """Returns the features of images as they are."""
        kept = self._folder / f"{name}.npy" if self._folder else None
        if kept is not None and kept.is_file():
            return np.load(kept)
        found = self._embedder.embeddings(paths)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.save(kept, found)
        return found

    def of_planted(self, planted: Population, base: Patient) -> Vectors:
        """Returns the features of all images, of which most are known."""
        known = base.population.row_of
        new = [path for path in planted.paths if path not in known]
        rows = dict(zip(new, self._embedder.embeddings(new), strict=True))
        return np.stack(
            [
                base.features[known[path]] if path in known else rows[path]
                for path in planted.paths
            ]
        )


Keys = set[object]


@dataclasses.dataclass(frozen=True)
class Score:
    """How well one finding was found: what was planted, and what was flagged.

    Attributes:
        planted: What was planted.
        found: What of it was found.
        flagged: What was flagged.
        right: What of that was planted.
        before: What of that is there without anything planted; None if not known.
    """

    planted: int
    found: int
    flagged: int
    right: int
    before: int | None

    def cells(self) -> list[str]:
        """Returns the cells of its line."""
        new = self.flagged - (self.before or 0)
        return [
            str(self.planted),
            str(self.found),
            _share(self.found, self.planted),
            str(self.flagged),
            "" if self.before is None else str(self.before),
            _share(self.right, self.flagged),
            "" if self.before is None else _share(self.right, new),
        ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "–"


def score_copies(
    planted: Planted, patient: Patient, found: list[Finding], before: Keys
) -> dict[str, Score]:
    """Scores groups of copies: leaks and duplicates, exact and near."""
    scores = {}
    group_of = {
        row: number
        for number, each in enumerate(found)
        for row in (*each.rows, *each.others)
    }
    for kind in ("duplicate", "leak"):
        own = {n for n, each in enumerate(found) if each.kind == kind}
        old = {
            n
            for n in own
            if patient.paths((*found[n].rows, *found[n].others)) in before
        }
        right: set[int] = set()
        counts = {}
        for key, pairs in planted.pairs.items():
            if key.startswith(kind):
                groups = [group_of.get(a) for a, b in pairs if _same(group_of, a, b)]
                right |= {each for each in groups if each is not None}
                counts[key] = len(pairs), len(groups)
        number, hits = (sum(each[i] for each in counts.values()) for i in (0, 1))
        scores[kind] = Score(number, hits, len(own), len(own & right), len(old))
        for key, (number, hits) in counts.items():
            scores[key] = Score(number, hits, 0, 0, None)
    return scores


def _same(group_of: dict[int, int], one: int, other: int) -> bool:
    return one in group_of and group_of[one] == group_of.get(other)


def score_rows(
    wanted: Iterable[int], flagged: Iterable[int], old: Iterable[int] | None
) -> Score:
    """Scores findings of single images."""
    wanted, flagged = set(wanted), set(flagged)
    before = None if old is None else len(flagged & set(old) - wanted)
    right = len(wanted & flagged)
    return Score(len(wanted), right, len(flagged), right, before)


def score_doctor(planted: Planted, patient: Patient, base: Patient) -> dict[str, Score]:
    """Scores everything that the doctor finds."""
    after, before = patient.examine(), base.examine()
    groups: Keys = {
        base.paths((*each.rows, *each.others))
        for each in before.findings
        if each.kind in COPIES
    }
    copies = [each for each in after.findings if each.kind in COPIES]
    scores = score_copies(planted, patient, copies, groups)

    def old_rows(kind: str) -> list[int]:
        names = base.paths(row for each in before.of_kind(kind) for row in each.rows)
        return [patient.population.row_of[path] for path in names
                if path in patient.population.row_of]  # fmt: skip

    def rows(kind: str) -> list[int]:
        return [row for each in after.of_kind(kind) for row in each.rows]

    kind = "suspect_label"
    flagged = set(rows(kind)) - planted.strange
    scores[kind] = score_rows(planted.wrong, flagged, old_rows(kind))
    suggested = {each.rows[0]: each.suggestion for each in after.of_kind(kind)}
    right = [
        row
        for row, name in planted.wrong.items()
        if suggested.get(row) == f"relabel={name}"
    ]
    scores["…, class it should have"] = Score(
        len(planted.wrong), len(right), 0, 0, None
    )
    for kind, wanted in planted.odd.items():
        scores[kind] = score_rows(wanted, rows(kind), old_rows(kind))
    for kind, truth in (("classes_alike", planted.twins),
                        ("class_of_two", planted.joined)):  # fmt: skip
        own, old = (
            {_classes(each, who.population) for each in said.of_kind(kind)}
            for said, who in ((after, patient), (before, base))
        )
        keys = {each if isinstance(each, frozenset) else frozenset((each,))
                for each in truth}  # fmt: skip
        hits = len(own & keys)
        scores[kind] = Score(len(keys), hits, len(own), hits, len(own & old))
    return scores


def _classes(finding: Finding, population: Population) -> frozenset[str]:
    rows = (finding.rows[0], *finding.others[:1])
    return frozenset(population.name(row) for row in rows)


def hash_copies(patient: Patient, bits: int) -> list[Finding]:
    """Returns groups of images whose perceptual hashes differ in few bits."""
    hashes = patient.pictures.hashes
    pairs = []
    for row in range(len(hashes)):
        near = np.bitwise_count(hashes[row + 1 :] ^ hashes[row]) <= bits
        pairs += [(row, row + 1 + other) for other in np.flatnonzero(near).tolist()]
    one, other = np.array(pairs, np.int64).reshape(-1, 2).T
    count = len(hashes)
    graph = sparse.coo_matrix((np.ones(len(one)), (one, other)), (count, count))
    groups = sparse.csgraph.connected_components(graph, directed=False)[1]
    groups = groups.astype(np.int64)
    copies = Copies(groups, np.arange(count), np.zeros(count, np.float32))
    return find_duplicates(patient.population, copies, patient.pictures)


def score_hashes(
    planted: Planted, patient: Patient, base: Patient, bits: int
) -> dict[str, Score]:
    """Scores perceptual hashes alone."""
    groups: Keys = {
        base.paths((*each.rows, *each.others)) for each in hash_copies(base, bits)
    }
    return score_copies(planted, patient, hash_copies(patient, bits), groups)


def find_by_cleanlab(patient: Patient) -> list[int] | str:
    """Returns the rows whose labels cleanlab doubts, or why it is not asked."""
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        return f"cleanlab is left out ({error}): requirements-benchmarks.txt has it."
    vectors = comparable(patient.features, "cosine", "images")
    near = find_nearest(vectors, _NEIGHBOURS)
    labels = patient.population.labels
    shares = np.full((len(labels), len(patient.population.class_names)), 1e-3)
    for column in near.rows.T:
        shares[np.arange(len(labels)), labels[column]] += 1
    shares /= shares.sum(axis=1, keepdims=True)
    issues = find_label_issues(labels, shares, n_jobs=1)
    return np.flatnonzero(issues).tolist()


def compare(name: str, base: Patient, features: Features, strays: tuple[str, ...],
            table: Table, asked: argparse.Namespace) -> None:  # fmt: skip
    """Plants, looks for it in every way, and adds lines to a table."""

    def show(by: str, scores: dict[str, Score]) -> None:
        for finding, score in scores.items():
            table.add_row(name, finding, by, *score.cells())
            print(name, finding, by, *score.cells(), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        planted = plant(base.population, strays, Path(folder), asked.seed)
        population = planted.population
        patient = Patient(
            population,
            features.of_planted(population, base),
            look_at(population.paths, max_pixels=_MOST_PIXELS),
        )
        show("doctor", score_doctor(planted, patient, base))
        for bits in _BITS:
            scores = score_hashes(planted, patient, base, bits)
            show(f"phash, {bits} bits", scores)
        doubted = find_by_cleanlab(patient)
        if isinstance(doubted, str):
            print(doubted)
        else:
            flagged = set(doubted) - planted.strange
            old = [population.row_of[path] for path in base.paths(
                   find_by_cleanlab(base)) if path in population.row_of]  # fmt: skip
            score = score_rows(planted.wrong, flagged, old)
            show("cleanlab", {"suspect_label": score})
        if asked.reports:
            file = asked.reports / f"{name}.html"
            facts = f"{name}, with what is planted."
            write_report(patient.examine(), {}, None, facts, file)


def measure_size(number: int) -> None:
    """Examines drawn embeddings, and prints seconds and memory."""
    rng = np.random.default_rng(0)
    dim, each = 128, 10
    labels = rng.permutation(number) // each
    middles = rng.normal(size=(number // each + 1, dim)).astype(np.float32)
    vectors = np.empty((number, dim), np.float32)
    step = 100_000
    for start in range(0, number, step):
        own = labels[start : start + step]
        noise = rng.normal(0, 0.5, (len(own), dim)).astype(np.float32)
        vectors[start : start + step] = middles[own] + noise
    del middles
    copied = rng.choice(number, number // 100, replace=False)
    vectors[copied[::2]] = vectors[copied[1::2]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    population = Population(
        tuple(f"images/{row // 1000}/{row}.jpg" for row in range(number)),
        labels.astype(np.int32),
        tuple(map(str, range(number // each + 1))),
        np.zeros(number, np.int32),
        ("train",),
    )
    began, drawn = time.perf_counter(), peak_memory()
    found = examine(population, vectors, None)
    seconds = time.perf_counter() - began
    copies = sum(len(each.rows) for each in found.findings if each.kind in COPIES)
    table = Table(title=f"{number:,} embeddings of {dim}")
    for heading in ("seconds", "most memory, MB", "of it before", "copies", "found"):
        table.add_column(heading, justify="right")
    cells = (seconds, peak_memory(), drawn, len(copied) // 2, copies)
    table.add_row(*(f"{cell:.0f}" for cell in cells))
    print_machine(table)


def main() -> None:
    """Plants, compares and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dogs", type=Path)
    parser.add_argument("--grocery", type=Path)
    parser.add_argument("--backbone", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--reports", type=Path)
    parser.add_argument("--size", type=int)
    asked = parser.parse_args()
    if asked.size:
        measure_size(asked.size)
        return
    if not (asked.dogs and asked.grocery and asked.backbone):
        parser.error("give --dogs, --grocery and --backbone, or --size")
    features = Features(asked.backbone, asked.features)
    bases = {}
    for name in ("dogs", "grocery"):
        population = Population.of(read_csv(str(getattr(asked, name))))
        found = features.of_data_set(name, population.paths)
        pictures = look_at(population.paths, max_pixels=_MOST_PIXELS)
        bases[name] = Patient(population, found, pictures)
    table = Table(title="What is planted, and what is found")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    for name, other in (("dogs", "grocery"), ("grocery", "dogs")):
        strays = bases[other].population.paths
        compare(name, bases[name], features, strays, table, asked)
    print_machine(table)


if __name__ == "__main__":
    main()
