"""Callbacks that `--callback` names: trackers, and those of plugins, a file each.

A factory returns a `keras.callbacks.Callback`. Its parameters are the options of
`--callback="mlflow(experiment=birds)"`; those named `folder` (the run's own, a Path)
and `settings` (every setting by its flag) are filled in.
"""

from dce_tf.base.registry import import_siblings
from dce_tf.callbacks.choose import CALLBACKS, build_callbacks, specs_of, tell_report

import_siblings(__name__, __path__)

__all__ = ["CALLBACKS", "build_callbacks", "specs_of", "tell_report"]
