"""What a run is warned of while it trains, on screen and in its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from dce_tf.base.files import write_json
from dce_tf.clustering import Division
from dce_tf.datasets import Search
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.training.checkpoints import RunProgress
from dce_tf.training.health import Health, Warned


def build_health(
    run: RunDirectory,
    progress: RunProgress,
    search: Search,
    division: Callable[[], Division | None],
    display: Display,
    *,
    chooses: bool = True,
) -> Health:
    """Builds the callback that warns of training that teaches nothing.

    Args:
        run: Keeps the warnings in `warnings.json`. Those of epochs that are trained
            again are forgotten, to be given again.
        progress: How far the run has come; it goes on.
        search: On which the best epoch is chosen.
        division: Returns the division in force.
        display: Shows each warning when it comes up.
        chooses: Whether more than one epoch is scored, so that there is a best one.
    """
    warned = [Warned(**values) for values in run.warnings()]
    warned = [each for each in warned if each.epoch <= progress.epoch]

    def tell(warning: Warned) -> None:
        display.note(f"Warning: {warning.text}")
        warned.append(warning)
        write_json(run.warnings_file, [dataclasses.asdict(each) for each in warned])

    return Health(
        progress.history,
        tell,
        division=division,
        num_classes=len(np.unique(search.gallery.labels)) if chooses else None,
        warned=tuple(warned),
    )
