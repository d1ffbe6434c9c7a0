"""The rate of false accepts that was promised, and what other classes meet.

    python -m benchmarks.calibration [--data_dir DIR ...] [--backbone FILE.keras]
        [--seeds 0 1 2] [--fars 0.1 0.01 0.001] [--val_fraction 0.5]

Trains a run on the built-in glyphs and on the CSV index of each DIR, with a backbone
that does not train where FILE is given; half of the training classes are held out to
calibrate on. The test has classes of its own, which nothing is chosen on. A line for
each rate: what `calibrate` promises, what the test meets, and their ratio; where it
refuses, what the threshold would have met all the same, in brackets. The calibration
error is that of probabilities on the test: of all pairs at even odds, and of the
nearest image in a search of which half of the queries have no class there.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks.timing import print_machine
from dce_tf import cli
from dce_tf.datasets import Images, Search
from dce_tf.evaluation.evaluator import Embeddings
from dce_tf.index.calibration import Calibration
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.retrieval.calibration import calibrate
from dce_tf.retrieval.identification import find_nearest_pairs
from dce_tf.retrieval.pair_histogram import cosine_at, count_pairs, threshold_at
from dce_tf.retrieval.pair_tiles import STEPS, PairSet
from dce_tf.retrieval.score_maps import mean_errors
from dce_tf.retrieval.verification import Roc
from dce_tf.runs.opening import open_source

HEADINGS = ("data", "seed", "classes", "FAR", "promised", "met", "met / FAR", "TAR")


def train(words: list[str], log_dir: Path, name: str, seed: int) -> RunDirectory:
    """Trains a run by the command line; returns it."""
    common = [f"--log_dir={log_dir}", f"--dir={name}", f"--exp={seed}", "--noexport"]
    code = cli.main([*words, *common, f"--random_seed={seed}", "--nmi_runs=0"])
    if code:
        raise SystemExit(code)
    (config,) = (log_dir / name).glob(f"*-exp-{seed}/config.json")
    return RunDirectory(config.parent)


class Trial:
    """A trained run: what can be learned on its validation, and what the test says.

    Args:
        val: Images of the classes that are held out.
        embeddings: Of them.
        search: The test.
        query: Embeddings of its queries.
        gallery: Of its gallery.
    """

    @classmethod
    def of(cls, run: RunDirectory) -> Trial:
        """Embeds the images of a run."""
        opened = open_source(run.path, {}, {}, Display(quiet=True))
        splits, embed = opened.splits, opened.embedder.embeddings
        if splits.val is None:
            raise ValueError(f"{run.path} holds out no classes.")
        search = splits.tests[0]
        query = embed(search.query.paths)
        gallery = query if search.leave_one_out else embed(search.gallery.paths)
        return cls(splits.val, embed(splits.val.paths), search, query, gallery)

    def __init__(
        self,
        val: Images,
        embeddings: Embeddings,
        search: Search,
        query: Embeddings,
        gallery: Embeddings,
    ) -> None:
        self.val, self.embeddings = val, embeddings
        self.search, self.query, self.gallery = search, query, gallery
        search = Search("val", self.val, self.val)
        pairs = PairSet(search, self.embeddings, self.embeddings)
        self.learned = Roc.of(count_pairs(pairs))
        self.counted = count_pairs(PairSet(self.search, self.query, self.gallery))
        self.tested = Roc.of(self.counted)

    def cells(self, far: float) -> list[str]:
        """Returns what is promised for a rate, and what is met."""
        point = self.learned.point_at(far)
        try:
            found = calibrate(self.val, self.embeddings, fingerprint="", far=far)
            low, high = found.far_interval
            promised, form = f"{low:.2g} to {high:.2g}", "{:.3g}"
            assert_same(found.threshold, float(threshold_at(point)))
        except ValueError as error:
            promised, form = _shortened(str(error)), "({:.3g})"
        met = float(self.tested.far[point])
        return [
            f"{far:g}",
            promised,
            form.format(met),
            form.format(met / far),
            f"{self.tested.tar[point]:.3f}",
        ]

    def errors(self) -> str:
        """Returns the kind of map, and its error of pairs and of searches, in words."""
        try:
            found = calibrate(self.val, self.embeddings, fingerprint="")
        except ValueError as error:
            return f"no rate is carried ({_shortened(str(error))})"
        used = self.counted.positive + self.counted.negative > 0
        cosines = cosine_at(np.arange(STEPS + 1))[used]
        _, of_pairs = mean_errors(
            found.probability(cosines),
            self.counted.positive[used].astype(float),
            self.counted.negative[used].astype(float),
        )
        return (
            f"{found.method}, calibration error of pairs {of_pairs:.3f}, of searches "
            f"{self._error_of_searches(found):.3f}"
        )

    def _error_of_searches(self, calibration: Calibration) -> float:
        """Half of the queries have their class in the gallery, and half have not."""
        nearest = find_nearest_pairs(self.search, self.query, self.gallery)
        among = calibration.for_classes(len(np.unique(self.search.gallery.labels)))
        right = nearest.own > nearest.other
        tops = np.concatenate([np.maximum(nearest.own, nearest.other), nearest.other])
        is_right = np.concatenate([right, np.zeros(len(right), bool)])
        probability = among.probability(tops)
        bins = np.minimum((15 * probability).astype(int), 14)
        gaps = np.bincount(bins, is_right - probability, 15)
        return float(np.abs(gaps).sum() / len(tops))


def assert_same(threshold: float, expected: float) -> None:
    """Refuses to print what another threshold would have met."""
    if threshold != expected:
        raise RuntimeError(f"calibrate chose {threshold}, expected {expected}.")


def _shortened(refusal: str) -> str:
    if "takes about " in refusal:
        return f"refused: takes {refusal.split('takes about ')[1].split()[0]} classes"
    return f"refused: too few {'classes' if 'Too few classes' in refusal else 'pairs'}"


def main() -> None:
    """Trains, calibrates and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", action="append", default=[])
    parser.add_argument("--backbone", default="small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fars", type=float, nargs="+", default=[0.1, 0.01, 0.001])
    parser.add_argument("--val_fraction", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    held = [f"--val_fraction={asked.val_fraction}", f"--num_epochs={asked.epochs}"]
    kinds = {"glyphs": ["--dataset=glyphs", "--num_clusters=1", *held]}
    for folder in asked.data_dir:
        words = [
            "--dataset=csv",
            f"--data_dir={folder}",
            f"--backbone={asked.backbone}",
        ]
        if asked.backbone.endswith(".keras"):
            words += ["--trainable_blocks=0", "--augmentation=none"]
        kinds[Path(folder).name] = [*words, "--num_clusters=1", *held]
    table = Table(title="False accepts, promised and met on classes never used")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, words in kinds.items():
            for seed in asked.seeds:
                trial = Trial.of(train(words, Path(folder), name, seed))
                classes = f"{len(trial.val.class_names)}"
                for far in asked.fars:
                    table.add_row(name, str(seed), classes, *trial.cells(far))
                error_rate = trial.tested.equal_error_rate
                lines.append(
                    f"{name}, seed {seed}: EER {error_rate:.3f}; {trial.errors()}"
                )
                # So that what was measured is not lost if a later run fails.
                print(lines[-1], *map(trial.cells, asked.fars), sep="\n", flush=True)
    print_machine(table)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
