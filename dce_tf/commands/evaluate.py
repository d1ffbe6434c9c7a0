"""Scores a source on its tests."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.files import write_json
from dce_tf.commands.flags.evaluate import OVERRIDES
from dce_tf.commands.selecting import named_path, values_of
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.evaluation.evaluator import Evaluation, Evaluator
from dce_tf.evaluation.open_set_scores import score_open_set, write_submission
from dce_tf.evaluation.slices import score_slices, slices_table
from dce_tf.evaluation.verification import score_identification, score_verification
from dce_tf.hub.address import name_of
from dce_tf.reports.display import Display
from dce_tf.reports.scores import (
    SELECTED_ON_TEST,
    open_set_lines,
    plot_recall_at,
    scores_table,
    source_tables,
)
from dce_tf.reports.tables import print_table
from dce_tf.reports.verification import (
    identification_table,
    plot_roc,
    verification_table,
)
from dce_tf.retrieval.rerankers import RERANKERS, Reranker
from dce_tf.retrieval.rerankers.local import Local
from dce_tf.runs.environment import environment
from dce_tf.runs.evaluating import build_evaluator
from dce_tf.runs.opening import ARRAY_FLAGS, Opened, open_source


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Evaluates."""
    path = named_path(settings, arguments)
    display = Display(quiet=settings["json"])
    rerankers = {spec: RERANKERS.build(spec) for spec in settings["rerank"]}
    given = values_of(settings, OVERRIDES)
    arrays = {name: settings[name] for name in ARRAY_FLAGS if settings[name]}
    opened = open_source(path, given, arrays, display)
    folder = Path(settings["output_dir"] or (opened.run.path if opened.run else "."))
    config, splits = opened.config, opened.splits
    if settings["submission"]:
        dataset = config.data.dataset if opened.source else None
        _check_submission(settings["submission"], splits, dataset)
    evaluator = build_evaluator(
        opened.embedder,
        splits,
        config.evaluation,
        config.run,
        display,
        settings["metric"],
    )
    # Before the images are embedded, as it may be refused.
    own_reranker = _reranker_of(opened, rerankers, display)
    evaluations = evaluator.evaluate(splits.tests)
    result = {
        "source": name_of(path),
        **_scores(opened, evaluator, evaluations, rerankers, own_reranker),
    }
    if splits.open_set:
        result["open_set"] = score_open_set(evaluator, splits, evaluations[0])
    if settings["embedding_slices"]:
        result["slices"] = score_slices(
            evaluations[0],
            config.division.num_clusters,
            exclude=config.evaluation.exclude,
            seed=config.run.random_seed,
        )
    result |= _decisions(settings, config, evaluations)
    if settings["submission"]:
        submission = Path(settings["submission"])
        _submit(submission, evaluator, splits, result["open_set"], display)
    if opened.broken:
        write_json(folder / "evaluation_bad_images.json", dict(opened.broken))
    write_json(folder / "evaluation.json", result)
    label = f", {SELECTED_ON_TEST}" if result["selected_on"] == "test" else ""
    title = f"{result['source']}{label}"
    plot_recall_at(result["tests"], folder / "recall_at.png", title)
    if settings["verification"]:
        plot_roc(result["verification"], folder / "roc.png", title)
    if settings["json"]:
        print(json.dumps(result, indent=2))
    else:
        _show(result, folder, display)
    return 0


def _scores(
    opened: Opened,
    evaluator: Evaluator,
    evaluations: Sequence[Evaluation],
    rerankers: Mapping[str, Reranker],
    own: Callable[[Reranker, Evaluation], Reranker],
) -> dict[str, Any]:
    return {
        "dataset": opened.config.data.dataset if opened.source else None,
        "selected_on": opened.run.config().evaluation.select_on if opened.run else None,
        "exclude": opened.config.evaluation.exclude,
        "metric": evaluations[0].metric,
        "tests": {each.search.name: each.as_json() for each in evaluations},
        "reranked": {
            spec: {
                each.search.name: _reranked(evaluator, each, own(reranker, each))
                for each in evaluations
                if not each.search.overlaps
            }
            for spec, reranker in rerankers.items()
        },
        "warnings": [
            *opened.splits.warnings,
            *_notes(evaluations),
            *_not_reranked(evaluations, rerankers),
        ],
        "environment": environment(),
    }


def _decisions(
    settings: Mapping[str, Any], config: Config, evaluations: Sequence[Evaluation]
) -> dict[str, Any]:
    """Returns what was asked for beyond the order of what is found."""
    protocol: dict[str, Any] = {
        "exclude": config.evaluation.exclude,
        "seed": config.run.random_seed,
    }
    scorers = {
        "verification": score_verification,
        "identification": score_identification,
    }
    wanted = {
        "verification": settings["verification"],
        "identification": settings["open_set"],
    }
    return {
        name: {each.search.name: score(each, **protocol) for each in evaluations}
        for name, score in scorers.items()
        if wanted[name]
    }


def _reranker_of(
    opened: Opened, rerankers: Mapping[str, Reranker], display: Display
) -> Callable[[Reranker, Evaluation], Reranker]:
    """Returns what gives a reranker the places of the images, if it takes them.

    Raises:
        UsageError: If one takes them, and the source has none.
    """
    if not any(isinstance(each, Local) for each in rerankers.values()):
        return lambda reranker, _: reranker
    # Embeddings in a file are re-ranked without TensorFlow.
    from dce_tf.runs.second_look import places_of

    compute = functools.cache(places_of(opened, display))

    def own(reranker: Reranker, evaluation: Evaluation) -> Reranker:
        if not isinstance(reranker, Local):
            return reranker
        search = evaluation.search
        query, gallery = search.query, search.gallery
        return reranker.with_places(compute(query), compute(gallery))

    return own


def _not_reranked(
    evaluations: Sequence[Evaluation], rerankers: Mapping[str, Reranker]
) -> list[str]:
    return [
        f"{each.search.name} is not re-ranked: some of its queries lie in its gallery "
        "and others do not, and re-ranking takes one or the other. The sources are "
        "re-ranked each by itself."
        for each in evaluations
        if rerankers and each.search.overlaps
    ]


def _notes(evaluations: Sequence[Evaluation]) -> list[str]:
    """Returns what the reader of scores should know, each once."""
    return list(dict.fromkeys(note for each in evaluations for note in each.notes))


def _show(result: Mapping[str, Any], folder: Path, display: Display) -> None:
    print_table(scores_table(_with_lines(result)))
    for table in source_tables(result["tests"]):
        print_table(table)
    if "slices" in result:
        print_table(slices_table(result["slices"]))
    for line in open_set_lines(result["open_set"]) if "open_set" in result else ():
        display.note(line)
    _show_decisions(result, display)
    if result["selected_on"] == "test":
        display.note(f"{SELECTED_ON_TEST}: this is no honest estimate.")
    for warning in result["warnings"]:
        display.note(f"Warning: {warning}")
    display.note(f"Written: {folder / 'evaluation.json'} and recall_at.png beside it.")


def _show_decisions(result: Mapping[str, Any], display: Display) -> None:
    tables = {
        "verification": verification_table,
        "identification": identification_table,
    }
    for name, as_table in tables.items():
        if name not in result:
            continue
        print_table(as_table(result[name]))
        notes = [note for each in result[name].values() for note in each["notes"]]
        for note in dict.fromkeys(notes):
            display.note(note)


def _check_submission(path: str, splits: Splits, dataset: str | None) -> None:
    if splits.open_set is None:
        raise UsageError(
            f"--submission={path} is for a data set with a competition, such as whale; "
            f"{dataset or 'a .npy'} has none."
        )


def _submit(
    path: Path,
    evaluator: Evaluator,
    splits: Splits,
    open_set: Mapping[str, Any],
    display: Display,
) -> None:
    missing = write_submission(path, evaluator, splits, open_set["threshold"])
    display.note(f"Written: {path}")
    if missing:
        display.note(
            f"Warning: {missing} images to answer for could not be read, and got "
            f"{open_set['name']}."
        )


def _reranked(
    evaluator: Evaluator, evaluation: Evaluation, reranker: Reranker
) -> dict[str, Any]:
    again = evaluator.measure(
        evaluation.search, evaluation.query, evaluation.gallery, reranker
    )
    return again.as_json()


def _with_lines(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tests with the metrics after re-ranking as further ones."""
    merged = {}
    for name, test in result["tests"].items():
        scores, intervals = dict(test["scores"]), dict(test["intervals"])
        for spec, tests in result["reranked"].items():
            for key, value in tests.get(name, {"scores": {}})["scores"].items():
                scores[f"{key}, {spec}"] = value
                intervals[f"{key}, {spec}"] = tests[name]["intervals"][key]
        merged[name] = {**test, "scores": scores, "intervals": intervals}
    return merged
