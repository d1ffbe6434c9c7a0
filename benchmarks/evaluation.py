"""An SOP-sized evaluation against the bare FAISS search it contains.

    python -m benchmarks.evaluation [--images 60502] [--repeats 3]

Prints seconds, their ratio, and by how much memory peaks above the embeddings. An
N × N matrix of float32 would take 14.6 GB.
"""

from __future__ import annotations

import argparse
import resource
import statistics

import numpy as np

from benchmarks.division import draw_features
from benchmarks.timing import alternate, print_table
from dce_tf.faiss_backend import exact_index
from dce_tf.retrieval import evaluate_retrieval

RECALL_AT = (1, 10, 100, 1000)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60_502)
    parser.add_argument("--classes", type=int, default=11_316)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    embeddings, labels = draw_features(args.images, args.classes, args.dim)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def evaluate() -> None:
        evaluate_retrieval(
            embeddings,
            labels,
            embeddings,
            labels,
            recall_at=RECALL_AT,
            leave_one_out=True,
        )

    def bare_search() -> None:
        index = exact_index(args.dim, "auto")
        index.add(embeddings)
        for first in range(0, len(embeddings), 4096):
            index.search(embeddings[first : first + 4096], max(RECALL_AT) + 1)

    evaluate()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    parts = {"evaluation": evaluate, "bare FAISS search": bare_search}
    seconds = alternate(parts, args.repeats)
    shape = f"{args.images:,} × {args.dim}, recall@{RECALL_AT[-1]}, MAP@R, R-precision"
    print_table(f"Evaluation of {shape}", seconds)
    pairs = zip(*seconds.values(), strict=True)
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    print(f"Ratio {ratio:.2f}; memory peaks {(peak - start) / 1024:.0f} MB higher.")


if __name__ == "__main__":
    main()
