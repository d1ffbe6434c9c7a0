"""All pairs of a test counted by their cosine, and what scikit-learn takes for a few.

    python -m benchmarks.pairs [--images 60502] [--classes 11316] [--sample 3000]

Embeddings of 128 numbers are drawn around class centres, as many as Stanford Online
Products has for testing. `pairs` is the histogram, `curve` what ROC, EER and TAR take
from it, `classes` the second pass for OPIS. scikit-learn's `roc_curve` needs the matrix
of all pairs, and gets a sample of the images.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.division import draw_features
from benchmarks.timing import peak_memory, print_machine
from dce_tf.datasets import Images, Search
from dce_tf.retrieval.pair_histogram import count_by_class, count_pairs
from dce_tf.retrieval.pair_tiles import PairSet
from dce_tf.retrieval.verification import FARS, Roc, opis, opis_points

DIM = 128
SPREAD = 1.4  # recall@1 is about 0.7.


def drawn_search(count: int, classes: int) -> tuple[Search, np.ndarray]:
    """Returns images to be searched among themselves, and their embeddings."""
    embeddings, labels = draw_features(count, classes, DIM, SPREAD)
    names = tuple(map(str, range(classes)))
    images = Images(tuple(map(str, range(count))), labels.astype(np.int32), names)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return Search("test", images, images), embeddings


def seconds_of_both(
    search: Search, embeddings: np.ndarray, sample: int
) -> tuple[list[float], list[float]]:
    """Returns the area under the curve of a sample, and the seconds, of both."""
    images = search.query.keep(np.arange(sample))
    part = embeddings[:sample]
    times = [time.perf_counter()]
    ours = Roc.of(count_pairs(PairSet(Search("s", images, images), part, part))).area
    times.append(time.perf_counter())
    upper = np.triu_indices(sample, 1)
    same = (images.labels[:, None] == images.labels)[upper]
    theirs = float(roc_auc_score(same, (part @ part.T)[upper]))
    times.append(time.perf_counter())
    return [ours, theirs], np.diff(times).tolist()


def main() -> None:
    """Counts, and prints how long each part took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60_502)
    parser.add_argument("--classes", type=int, default=11_316)
    parser.add_argument("--sample", type=int, default=3000)
    asked = parser.parse_args()
    search, embeddings = drawn_search(asked.images, asked.classes)
    sample = min(asked.sample, asked.images)
    areas, both = seconds_of_both(search, embeddings, sample)
    pairs = PairSet(search, embeddings, embeddings)
    clocks = (time.perf_counter, time.process_time)
    times = [[clock() for clock in clocks]]
    roc = Roc.of(count_pairs(pairs))
    times.append([clock() for clock in clocks])
    points = opis_points(roc)
    score = None if points is None else opis(count_by_class(pairs, points))
    times.append([clock() for clock in clocks])
    count = roc.num_positive + roc.num_negative
    table = Table(title=f"{count:,} pairs of {asked.images:,} images")
    for heading in ("what", "seconds", "seconds of all cores", "result"):
        table.add_column(heading)
    rates = ", ".join(
        f"{far:g}: {found['tar']:.4f}" for far in FARS if (found := roc.at(far))
    )
    first, second = (map("{:.1f}".format, each) for each in np.diff(times, axis=0))
    few = f"AUC of {sample:,} images"
    table.add_row("histogram, ROC", *first, f"TAR at FAR {rates}")
    table.add_row("second pass: OPIS", *second, str(score))
    table.add_row(few, f"{both[0]:.2f}", "", f"{areas[0]:.6f}")
    table.add_row(f"{few}, scikit-learn", f"{both[1]:.2f}", "", f"{areas[1]:.6f}")
    table.add_row("peak memory", "", "", f"{peak_memory():.0f} MB")
    print_machine(table)


if __name__ == "__main__":
    main()
