"""From the text of `--callback` to callbacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from dce_tf.base.registry import Registry, split_outside

CALLBACKS: Registry[keras.callbacks.Callback] = Registry(
    "callback", context=("folder", "settings")
)


def build_callbacks(
    specs: str, folder: Path, settings: Mapping[str, Any]
) -> list[keras.callbacks.Callback]:
    """Builds callbacks; nothing is written and nobody is asked before the training.

    Args:
        specs: Such as `"mlflow(experiment=birds), wandb"`; empty for none.
        folder: Of the run.
        settings: Of the run, by the name of their flag.

    Raises:
        UsageError: If a name or an option is unknown, or a package is missing.
    """
    return [
        CALLBACKS.build(spec, folder=folder, settings=settings)
        for spec in specs_of(specs)
    ]


def specs_of(specs: str) -> list[str]:
    """Returns the callbacks that a text names, one by one."""
    return [part.strip() for part in split_outside(specs, ",") if part.strip()]


def tell_report(
    callbacks: Sequence[keras.callbacks.Callback], report: Mapping[str, Any]
) -> None:
    """Tells callbacks that have an `on_report` of the scores on the test split."""
    for callback in callbacks:
        on_report = getattr(callback, "on_report", None)
        if on_report is not None:
            on_report(report)
