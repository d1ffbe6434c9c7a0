"""The page that explains runs: what was measured, laid out for a reader."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dce_tf.clustering import Division
from dce_tf.evaluation.evaluator import Evaluation
from dce_tf.evaluation.slices import score_slices
from dce_tf.evaluation.verification import score_verification
from dce_tf.record import PARTS, SELECTED_BY, format_seconds
from dce_tf.reports.clusters import draw_clusters
from dce_tf.reports.html_page import Heat, Html, Section, draw, join, table, tag, tile
from dce_tf.reports.run_figures import (
    draw_curves,
    draw_masks,
    draw_sizes,
    draw_times,
    mean_and_reach,
)
from dce_tf.reports.scores import SELECTED_ON_TEST
from dce_tf.reports.verification import draw_roc, draw_thresholds
from dce_tf.retrieval.heat import MatchHeat
from dce_tf.runs.inspecting import (
    Failure,
    confusions,
    drift_of,
    score_sizes,
)
from dce_tf.runs.run_history import Gain, RunHistory, changed_settings, gains

SHOWN_FAILURES = 24
SHOWN_CONFUSIONS = 12
_NO_TEST = "not done"


def overview(runs: Sequence[RunHistory]) -> Section:
    """Returns the section of scores and settings."""
    rows = []
    for run in runs:
        best, split = run.best, run.best.get("evaluated_on", "val")
        cells = [
            "–" if best.get(key) is None else f"{best[key]:.4f}" for key in SELECTED_BY
        ]
        chosen = SELECTED_ON_TEST if split == "test" else split
        tests = [_with_interval(run, key) for key in SELECTED_BY]
        rows.append([run.name, best["epoch"] + 1, chosen, *cells, *tests])
    heading = ["run", "best epoch", "chosen on"]
    heading += [f"{key} there" for key in SELECTED_BY]
    heading += [f"{key}, test" for key in SELECTED_BY]
    parts: list[Html] = [table(heading, rows)]
    parts.append(
        tag("p", "In brackets: the 95 % interval over the classes of the test split.")
    )
    changed = changed_settings(runs)
    if changed:
        parts.append(tag("h3", "What differs between the runs"))
        names = [run.name for run in runs]
        parts.append(table(["setting", *names], ([k, *v] for k, v in changed.items())))
    warned = [(run, each) for run in runs for each in run.run.warnings()]
    if warned:
        parts.append(tag("h3", "Warnings"))
        texts = (tag("li", f"{run.name}: {each['text']}") for run, each in warned)
        parts.append(tag("ul", *texts))
    return Section("Scores", join(parts))


def _with_interval(run: RunHistory, key: str) -> str:
    if run.report is None:
        return _NO_TEST
    text = f"{run.test[key]:.4f}"
    ends = run.report.get("intervals", {}).get(key)
    return text if ends is None else f"{text} [{ends[0]:.3f}, {ends[1]:.3f}]"


def curves(groups: dict[str, list[RunHistory]]) -> Section:
    """Returns the section of what the epochs brought."""
    histories = {name: [run.history for run in own] for name, own in groups.items()}
    parts: list[Html] = []
    for key in (*SELECTED_BY, "loss"):
        known = {
            name: runs
            for name, runs in histories.items()
            if all(any(line.get(key) is not None for line in run) for run in runs)
        }
        if known:
            parts.append(draw(draw_curves(known, key), f"{key} over the epochs"))
    if any(len(own) > 1 for own in groups.values()):
        text = (
            "Runs that differ by their seed only are one line: their mean, shaded by "
            "its 95 % interval (Student's t over the runs)."
        )
        parts.append(tag("p", text))
    return Section("Curves", join(parts))


def dividing(groups: dict[str, list[RunHistory]]) -> Section:
    """Returns the section of what dividing gave or cost."""
    found = gains(groups)
    if not found:
        text = (
            "There is nothing to compare: it takes a run with --num_clusters=1 beside "
            "one that divides, of the same data and seed."
        )
        return Section("What dividing gave", tag("p", text))
    heading = ["", "against", "split", "score", "difference", "95 %", "pairs", "steps"]
    parts = [table(heading, (_gain_row(each) for each in found))]
    parts.append(
        tag(
            "p",
            "Differences to the run with K = 1 of the same seed. Steps: those of the "
            "divided runs over the others'; where that is not 1.00, the comparison is "
            "not one of equal steps.",
        )
    )
    others = {name for each in found for name in each.others}
    if others:
        text = f"The two differ in more than dividing: {', '.join(sorted(others))}."
        parts.append(tag("p", text))
    return Section("What dividing gave", join(parts))


def _gain_row(gain: Gain) -> list[object]:
    _, reach = mean_and_reach(np.array(gain.differences))
    mean = statistics.fmean(gain.differences)
    low, high = mean - float(reach), mean + float(reach)
    interval = f"{low:+.4f} to {high:+.4f}" if len(gain.differences) > 1 else "one pair"
    return [
        gain.divided,
        gain.baseline,
        gain.split,
        gain.metric,
        f"{mean:+.4f}",
        interval,
        len(gain.differences),
        f"{gain.steps:.2f}",
    ]


def times(runs: Sequence[RunHistory]) -> Section:
    """Returns the section of where the time went."""
    seconds = {run.name: run.seconds for run in runs}
    heading = ["run", *(part.meaning for part in PARTS), "whole"]
    rows = (
        [
            name,
            *(format_seconds(own[part.key]) for part in PARTS),
            format_seconds(sum(own.values())),
        ]
        for name, own in seconds.items()
    )
    drawn = draw(draw_times(seconds), "Where the time of each run went")
    return Section("Where the time went", join([drawn, table(heading, rows)]))


def clusters(
    run: RunHistory,
    divisions: dict[int, Division],
    typical: Sequence[Sequence[str]],
    masks: Any,
    evaluation: Evaluation | None,
) -> Section:
    """Returns the section of the clusters and of what their learners see.

    Args:
        run: The run.
        divisions: By epoch.
        typical: Image files of each cluster, the most typical first; may be empty.
        masks: Of the learners, `(num_learners, embedding_dim)`, or None.
        evaluation: Of the test, for the scores of the parts, or None.
    """
    memberships = {epoch: each.assignment for epoch, each in divisions.items()}
    parts = [draw(draw_clusters(memberships), "Sizes and flow of the clusters")]
    for learner, paths in enumerate(typical):
        size = int(divisions[max(divisions)].sizes[learner])
        parts.append(tag("h3", f"Learner {learner + 1}: a cluster of {size:,} images"))
        parts.append(tag("div", *(tile(each, "") for each in paths), class_="row"))
    if typical:
        text = (
            "The images of each cluster that lie nearest to its middle, as the "
            "cluster's own learner sees them."
        )
        parts.append(tag("p", text))
    if masks is not None:
        parts.append(draw(draw_masks(masks), "The mask of each learner"))
    division, network = run.config.division, run.config.network
    count = division.num_clusters
    cuts = count > 1 and network.embedding_dim % count == 0
    if evaluation is not None and cuts and division.parts in ("slices", "nested"):
        lines = score_slices(
            evaluation,
            count,
            exclude=run.config.evaluation.exclude,
            seed=run.config.run.random_seed,
        )
        rows = (
            [_learners(line["learners"]), line["dim"], *_scores(line)] for line in lines
        )
        parts.append(tag("h3", "Parts of the embedding alone and together"))
        parts.append(table(["learners", "numbers", *SELECTED_BY], rows))
    return Section("Clusters and learners", join(parts))


def _learners(numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    return str(first) if first == last else f"{first} to {last}"


def _scores(line: dict[str, Any]) -> Iterable[str]:
    return (f"{line[key]:.4f}" for key in SELECTED_BY)


def failures(
    found: Sequence[Failure], heat: MatchHeat | None, num_queries: int
) -> list[Section]:
    """Returns the sections of wrong answers and of confused classes.

    Args:
        found: The failures, the most confident first.
        heat: Heat-maps of the first `SHOWN_FAILURES`, or None.
        num_queries: How many queries there were.
    """
    lead = f"{len(found):,} of {num_queries:,} queries find an image of another class "
    lead += "first."
    if len(found) > SHOWN_FAILURES:
        lead += f" The {SHOWN_FAILURES} most confident:"
    parts = [tag("p", lead)]
    if heat is not None:
        text = (
            "Red places of query and wrong image speak for their similarity, blue ones "
            "against it; the dark rim is not seen by the network."
        )
        parts.append(tag("p", text, class_="soft"))
    parts += [
        _failure(each, None if heat is None else _heat_of(heat, place))
        for place, each in enumerate(found[:SHOWN_FAILURES])
    ]
    pairs = confusions(found)
    rows = [
        tag(
            "div",
            tile(each.query, each.query_class),
            tile(each.wrong, each.wrong_class),
            tag("p", f"failures between these two, either way: {count}"),
            class_="row",
        )
        for each, count in pairs[:SHOWN_CONFUSIONS]
    ]
    lead = f"Pairs of classes that are confused: {len(pairs):,}. The most frequent:"
    return [
        Section("Failures", join(parts)),
        Section("Confused classes", join([tag("p", lead), *rows])),
    ]


Heats = tuple[tuple[Heat, float], tuple[Heat, float]]


def _heat_of(heat: MatchHeat, place: int) -> Heats:
    """Returns the maps of query and wrong image, with the hottest of both."""
    maps = heat.images[place], heat.others[place]
    hottest = max(float(np.abs(each).max()) for each in maps)
    return (maps[0], hottest), (maps[1], hottest)


def _failure(failure: Failure, heats: Heats | None) -> Html:
    found = f"found: {failure.wrong_class}, {failure.wrong_score:.3f}"
    right = f"right: {failure.query_class}, {failure.right_score:.3f}"
    tiles = [
        tile(failure.query, f"query: {failure.query_class}"),
        tile(failure.wrong, found, "wrong"),
        tile(failure.right, right, "right"),
    ]
    if heats is not None:
        tiles.append(tile(failure.query, "why: query", None, heats[0]))
        tiles.append(tile(failure.wrong, "why: found", None, heats[1]))
    return tag("div", *tiles, class_="row")


def thresholds(evaluations: Sequence[Evaluation], exclude: str, seed: int) -> Section:
    """Returns the section of what thresholds do."""
    results = {
        each.search.name: score_verification(each, exclude=exclude, seed=seed)
        for each in evaluations
    }
    rows = [
        [
            name,
            f"{each['auc']:.4f}",
            f"{each['eer']:.4f}",
            *(
                "too few"
                if rate is None
                else f"{rate['tar']:.4f} ({rate['threshold']:.3f})"
                for rate in each["tar_at_far"].values()
            ),
        ]
        for name, each in results.items()
    ]
    fars = next(iter(results.values()))["tar_at_far"]
    heading = ["test", "AUC", "EER", *(f"TAR at FAR {far} (cosine)" for far in fars)]
    parts = [
        draw(draw_thresholds(results), "What a threshold accepts"),
        draw(draw_roc(results), "TAR against FAR"),
        table(heading, rows),
    ]
    for each in evaluations:
        drift = drift_of(each)
        if drift is not None:
            text = (
                f"{each.search.name}: the mean query lies {drift.mean_distance:.4f} "
                "from the mean of the gallery (1 − cosine); squared maximum mean "
                f"discrepancy {drift.mmd:.5f}, {drift.z:.1f} standard errors."
            )
            parts.append(tag("p", text))
    return Section("Thresholds", join(parts))


def sizes(evaluation: Evaluation, exclude: str, seed: int) -> Section:
    """Returns the section of scores against bytes."""
    lines = score_sizes(evaluation, exclude, seed)
    rows = (
        [each["kind"], each["dim"], each["bytes"], *_scores(each)] for each in lines
    )
    return Section(
        "Recall against bytes",
        join(
            [
                draw(draw_sizes(lines), "recall@1 against bytes per image"),
                table(["kind", "numbers", "bytes", *SELECTED_BY], rows),
                tag(
                    "p",
                    "Shorter forms are the first numbers of the embedding; int8 and "
                    "binary are compared without a second look at the float32 vectors.",
                ),
            ]
        ),
    )
