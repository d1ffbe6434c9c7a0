"""Calibrates a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.program import PROGRAM
from dce_tf.commands.flags.calibrate import OVERRIDES
from dce_tf.commands.selecting import named_source, own_path, values_of
from dce_tf.index.calibration import Calibration
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.runs.calibrating import calibrate_run
from dce_tf.runs.opening import open_source
from dce_tf.runs.outcome import load_best_model

_OF_RUN = (
    "Calibrate the run that it is of, then `export` and `push` that: its calibration "
    "travels with it."
)


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Calibrates."""
    path, far = own_path(named_source(settings, arguments), _OF_RUN), settings["far"]
    if far is not None and not 0 < far < 1:
        raise UsageError(f"--far={far:g}: expected a share in (0, 1), such as 1e-3.")
    own = RunDirectory.opened(path)
    display = Display(quiet=settings["json"])
    given = values_of(settings, OVERRIDES)
    opened = open_source(path, given, {}, display)
    found = calibrate_run(
        own,
        opened.config,
        opened.splits,
        opened.embedder,
        load_best_model(own),
        far,
        display,
    )
    if settings["json"]:
        print(json.dumps(found.as_json(), indent=2))
        return 0
    for line in _lines(found):
        print(line)
    display.note(f"Written: {own.calibration_file}")
    display.try_next(f"{PROGRAM} export {path}")
    return 0


def _lines(found: Calibration) -> list[str]:
    low, high = found.far_interval
    return [
        f"From a cosine of {found.threshold:.4f} on, two images are called the same.",
        f"That accepts {found.far:g} of the pairs of two classes; of other classes of "
        f"this kind {low:.2g} to {high:.2g}, in 9 of 10 cases.",
        f"Probabilities are {found.method}, with a log loss of {found.log_loss:.4f} "
        f"and a calibration error of {found.calibration_error:.4f} on classes held "
        "out.",
        f"From {found.num_images:,} images of {found.num_classes} classes that were "
        "not trained on.",
    ]
