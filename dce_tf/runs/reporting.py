"""`report`: one HTML file that explains one or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dce_tf.clustering import Division
from dce_tf.reports.display import Display
from dce_tf.reports.html_page import Section, write_page
from dce_tf.runs import report_page
from dce_tf.runs.environment import environment
from dce_tf.runs.evaluating import build_evaluator
from dce_tf.runs.inspecting import explain_failures, find_failures, typical_images
from dce_tf.runs.opening import Opened
from dce_tf.runs.run_history import RunHistory, group_runs
from dce_tf.training.divisions import epoch_of, load_division

if TYPE_CHECKING:
    from dce_tf.network.model import EmbeddingModel

TYPICAL = 8  # Pictures of each learner.


def write_report(
    runs: Sequence[RunHistory], opened: Opened | None, path: Path, display: Display
) -> None:
    """Writes the report.

    Args:
        runs: What it is about.
        opened: The first run with its data, for all that takes the model and the
            images; None leaves that out.
        path: Where the HTML goes.
        display: Shows how far it is.
    """
    groups = group_runs(runs)
    sections = [report_page.overview(runs), report_page.curves(groups)]
    if any(run.config.division.num_clusters != 1 for run in runs):
        sections.append(report_page.dividing(groups))
    sections += _details(runs[0], opened, display)
    sections.append(report_page.times(runs))
    about = environment()
    lead = ", ".join(f"{name}: {value}" for name, value in about.items())
    write_page(path, f"Report: {', '.join(run.name for run in runs)}", lead, sections)


def _details(run: RunHistory, opened: Opened | None, display: Display) -> list[Section]:
    divisions = _divisions(run)
    if opened is None:
        if not divisions:
            return []
        return [report_page.clusters(run, divisions, (), None, None)]
    # Without images there is nothing that takes TensorFlow.
    from dce_tf.runs.outcome import load_best_model

    config = opened.config
    evaluator = build_evaluator(
        opened.embedder, opened.splits, config.evaluation, config.run, display
    )
    evaluations = evaluator.evaluate(opened.splits.tests, "test, best epoch")
    first = evaluations[0]
    protocol = config.evaluation.exclude, config.run.random_seed
    model = load_best_model(run.run)
    found = find_failures(first, *protocol)
    shown = found[: report_page.SHOWN_FAILURES]
    heat = explain_failures(model, config.data.image_size, shown) if shown else None
    sections = report_page.failures(found, heat, len(first.retrieval.labels))
    if divisions:
        last = divisions[max(divisions)]
        train = opened.splits.train
        typical = (
            typical_images(last, train, evaluator, TYPICAL)
            if len(train) == len(last.assignment)
            else []
        )
        masks = _masks(model)
        sections.append(report_page.clusters(run, divisions, typical, masks, first))
    sections.append(report_page.thresholds(evaluations, *protocol))
    sections.append(report_page.sizes(first, *protocol))
    return sections


def _divisions(run: RunHistory) -> dict[int, Division]:
    """Returns the divisions into several clusters, by epoch."""
    files = sorted(run.run.clusters.glob("epoch-*.npz"))
    found = {epoch_of(path): load_division(path) for path in files}
    return {epoch: each for epoch, each in found.items() if each.num_clusters > 1}


def _masks(model: EmbeddingModel) -> np.ndarray | None:
    layer = model.embedding
    return np.maximum(np.asarray(layer.masks), 0) if layer.parts == "masks" else None
