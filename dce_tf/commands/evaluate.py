"""Score a run, a checkpoint, a model file or embeddings: `evaluate SOURCE`.

SOURCE is a run directory, one of its checkpoints (`checkpoints/epoch-00003.npz`), a
SavedModel, a `.keras` file, or a `.npy` of embeddings with `--labels`. Writes the table
to the terminal, and `evaluation.json` and `recall_at.png` into the run directory, or
into `--output_dir` where there is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from dce_tf import config as config_module
from dce_tf import devices
from dce_tf.config import Config
from dce_tf.datasets import Splits
from dce_tf.errors import UsageError
from dce_tf.files import write_json
from dce_tf.reports.scores import (
    SELECTED_ON_TEST,
    open_set_lines,
    plot_recall_at,
    scores_table,
)
from dce_tf.reports.tables import print_table
from dce_tf.retrieval.rerankers import RERANKERS, Reranker
from dce_tf.runs.environment import environment
from dce_tf.runs.loading import load_data
from dce_tf.runs.open_set import score_open_set, write_submission
from dce_tf.runs.selecting import define_run_flag, named_path
from dce_tf.runs.session import build_evaluator
from dce_tf.runs.slices import score_slices, slices_table
from dce_tf.runs.sources import (
    Source,
    config_for,
    find_source,
    plain_config,
    stored_search,
)
from dce_tf.training.display import Display
from dce_tf.training.evaluation import Embedder, Evaluation, Evaluator

_OVERRIDES = (
    "dataset",
    "data_dir",
    "allow_partial_data",
    "max_bad_images",
    "max_image_pixels",
    "image_size",
    "exclude",
    "nmi_runs",
    "num_clusters",
    "random_seed",
    "backend",
    "cache_images",
    "cache_dir",
    "num_workers",
    "evaluation_batch_size",
    "cuda_device",
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    define_run_flag(values)
    config_module.define_flags(values, _OVERRIDES, unset=True)
    flags.DEFINE_multi_string(
        "rerank",
        [],
        f"Order the gallery anew, with lines of its own: {', '.join(RERANKERS)}; "
        "may be given several times, with options: --rerank='k_reciprocal(k1=20)'.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "embedding_slices",
        False,
        "Score each learner alone, and growing numbers of learners.",
        flag_values=values,
    )
    for name, text in (
        ("labels", "Labels of a .npy: a .npy, or a text file with one a line."),
        ("gallery", "A .npy to search in; default: the same, leave-one-out."),
        ("gallery_labels", "Labels of --gallery."),
        ("submission", "Write the competition's CSV of answers here (whale)."),
        ("output_dir", "Where to write; default: the run directory, or here."),
    ):
        flags.DEFINE_string(name, None, text, flag_values=values)
    flags.DEFINE_bool("json", False, "Print the result as JSON.", flag_values=values)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Evaluates."""
    path = named_path(settings, arguments)
    display = Display(quiet=settings["json"])
    rerankers = {spec: RERANKERS.build(spec) for spec in settings["rerank"]}
    given = {name: settings[name] for name in _OVERRIDES if settings[name] is not None}
    if path.suffix == ".npy":
        source, folder = None, Path(settings["output_dir"] or ".")
        config = plain_config(given)
        embedder, splits = _open_arrays(path, settings)
    else:
        source = find_source(path)
        folder = Path(
            settings["output_dir"] or (source.run.path if source.run else ".")
        )
        config = config_for(source, given)
        embedder, splits = _open_model(source, config, folder, display)
    dataset = config.dataset if source else None
    if settings["submission"]:
        _check_submission(settings["submission"], splits, dataset)
    evaluator = build_evaluator(embedder, config, splits, display)
    evaluations = evaluator.evaluate(splits.tests)
    result: dict[str, Any] = {
        "source": str(path),
        "dataset": dataset,
        "selected_on": source.run.config().select_on if source and source.run else None,
        "exclude": config.exclude,
        "tests": {each.search.name: each.as_json() for each in evaluations},
        "reranked": {
            spec: {
                each.search.name: _reranked(evaluator, each, reranker)
                for each in evaluations
            }
            for spec, reranker in rerankers.items()
        },
        "warnings": list(splits.warnings),
        "environment": environment(),
    }
    if splits.open_set:
        result["open_set"] = score_open_set(evaluator, splits, evaluations[0])
    if settings["submission"]:
        submission = Path(settings["submission"])
        _submit(submission, evaluator, splits, result["open_set"], display)
    if settings["embedding_slices"]:
        result["slices"] = score_slices(evaluations[0], config.num_clusters)
    write_json(folder / "evaluation.json", result)
    label = f", {SELECTED_ON_TEST}" if result["selected_on"] == "test" else ""
    plot_recall_at(result["tests"], folder / "recall_at.png", f"{path}{label}")
    if settings["json"]:
        print(json.dumps(result, indent=2))
    else:
        _show(result, folder, display)
    return 0


def _show(result: Mapping[str, Any], folder: Path, display: Display) -> None:
    print_table(scores_table(_with_lines(result)))
    if "slices" in result:
        print_table(slices_table(result["slices"]))
    for line in open_set_lines(result["open_set"]) if "open_set" in result else ():
        display.note(line)
    if result["selected_on"] == "test":
        display.note(f"{SELECTED_ON_TEST}: this is no honest estimate.")
    for warning in result["warnings"]:
        display.note(f"Warning: {warning}")
    display.note(f"Written: {folder / 'evaluation.json'} and recall_at.png beside it.")


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


def _open_arrays(path: Path, settings: Mapping[str, Any]) -> tuple[Embedder, Splits]:
    names = ("labels", "gallery_labels") if settings["gallery"] else ("labels",)
    if not all(settings[name] for name in names):
        raise UsageError(
            f"{path} holds embeddings, and they need labels: give "
            f"{' and '.join(f'--{name}' for name in names)}."
        )
    files = [path, *([Path(settings["gallery"])] if settings["gallery"] else [])]
    return stored_search(files, [Path(settings[name]) for name in names])


def _open_model(
    source: Source, config: Config, folder: Path, display: Display
) -> tuple[Embedder, Splits]:
    devices.configure(config)
    if source.run is not None and source.run.config().same_images(config):
        bad_images_file = source.run.bad_images_file
    else:
        bad_images_file = folder / "evaluation_bad_images.json"
        bad_images_file.unlink(missing_ok=True)
    splits, reader = load_data(config, bad_images_file, display)
    return source.open(config, reader), splits


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
            for key, value in tests[name]["scores"].items():
                scores[f"{key}, {spec}"] = value
                intervals[f"{key}, {spec}"] = tests[name]["intervals"][key]
        merged[name] = {**test, "scores": scores, "intervals": intervals}
    return merged
