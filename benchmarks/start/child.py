"""One run under a stopwatch: `child.py BEGAN OUTPUT main.py's words`.

It stands alone, so that it can time other versions of the package: it imports nothing
of ours before the command line does.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

IMPORTS = "imports"
WATCHED: dict[str, dict[str, str]] = {
    "dce_tf.runs.loading": {
        "read_splits": "reading the lists",
        "load_data": "looking at every image",
    },
    "dce_tf.runs.session": {"build_session": "building the network"},
    "dce_tf.training.extractor": {
        "Extractor.embeddings": "the network over images",
        "Extractor.features": "the network over images",
        "Extractor.unit_features": "the network over images",
    },
    "dce_tf.evaluation.evaluator": {"Evaluator.evaluate": "scores"},
    "dce_tf.training.recluster": {"Recluster.on_epoch_begin": "division, batches"},
    "dce_tf.training.checkpoints": {
        "Checkpoints.save": "checkpoints",
        "Checkpoints.save_best": "checkpoints",
    },
    "dce_tf.runs.snapshot": {"take_snapshot": "snapshots"},
    "dce_tf.network.backbones.model_file": {"read_model": "reading the best model"},
    "dce_tf.reports.tensorboard": {
        "TensorBoardWriter.scalars": "TensorBoard",
        "TensorBoardWriter.text": "TensorBoard",
        "TensorBoardWriter.image": "TensorBoard",
        "TensorBoardWriter.histogram": "TensorBoard",
        "TensorBoardWriter.hparams": "TensorBoard",
        "write_projector": "TensorBoard",
    },
    "dce_tf.reports.plots": {"plot_recall": "plots", "plot_distances": "plots"},
    "dce_tf.reports.clusters": {"plot_clusters": "plots"},
    "dce_tf.reports.neighbours_sheet": {"plot_neighbours": "plots"},
    "dce_tf.export.writing": {"_write": "export", "_check": "checks of the export"},
}
"""What each function of ours is called in the table, if the version has it."""
STEPS = ("dce_tf.training.callback_calls", "CallbackCalls")
HEAVY = {
    *("absl", "faiss", "keras", "matplotlib", "numpy", "pandas", "PIL", "pyarrow"),
    *("rich", "scipy", "sklearn", "tensorboard", "tensorflow", "tensorflow_serving"),
}
"""Packages whose import is told apart from what imports them."""


def _read_clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


class Stopwatch:
    """Notes what the main thread, and those beside it, spend their time with.

    Args:
        began: When the command began, as `time.monotonic` says.
        clock: Returns what it is now, in seconds of the clock and of all processors.
    """

    def __init__(
        self, began: float, clock: Callable[[], tuple[float, float]] = _read_clocks
    ) -> None:
        self._stack = threading.local()
        self._began = began
        self._clock = clock
        self._lock = threading.Lock()
        self.marks: dict[str, tuple[float, float]] = {}
        self.spans: list[tuple[str, bool, float, float, float]] = []
        self._last = (began, 0.0)

    def now(self) -> tuple[float, float]:
        """Returns seconds since the command began, and those of all processors."""
        seconds, cpu = self._clock()
        return seconds - self._began, cpu

    def mark(self, name: str, *, again: bool = False) -> None:
        """Notes a moment: the first of its name, or the last."""
        if again or name not in self.marks:
            self.marks[name] = self.now()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the function, its calls noted without what is timed within them."""

        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            stack = vars(self._stack).setdefault("stack", [])
            stack.append([0.0, 0.0])
            started = self.now()
            try:
                return function(*arguments, **named)
            finally:
                ended = self.now()
                inner = stack.pop()
                spent = [ended[part] - started[part] for part in (0, 1)]
                if stack:
                    for part in (0, 1):
                        stack[-1][part] += spent[part]
                main = threading.current_thread() is threading.main_thread()
                own = [spent[part] - inner[part] for part in (0, 1)]
                with self._lock:
                    self.spans.append((name, main, started[0], *own))

        return call


class Watch(importlib.abc.MetaPathFinder):
    """Puts the stopwatch on imports, and on our functions once they are there."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        self._stopwatch = stopwatch
        self._looking: set[str] = set()

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds what everybody else would, with a watched loader."""
        del path, target
        top = fullname.partition(".")[0]
        if fullname in self._looking or (top != "dce_tf" and fullname not in HEAVY):
            return None
        self._looking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking.discard(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_watch(module: ModuleType) -> None:
                execute(module)
                self._watch(module)

            timed = self._stopwatch.timed(IMPORTS, execute_and_watch)
            vars(spec.loader)["exec_module"] = timed
        return spec

    def _watch(self, module: ModuleType) -> None:
        for name, meaning in WATCHED.get(module.__name__, {}).items():
            *owners, last = name.split(".")
            owner: Any = module
            for each in owners:
                owner = getattr(owner, each)
            if hasattr(owner, last):
                timed = self._stopwatch.timed(meaning, getattr(owner, last))
                setattr(owner, last, timed)
        if module.__name__ == STEPS[0]:
            self._watch_steps(getattr(module, STEPS[1]))

    def _watch_steps(self, calls: Any) -> None:
        begin, end, mark = calls.batch_begin, calls.batch_end, self._stopwatch.mark

        def batch_begin(self: Any, *arguments: Any) -> None:
            begin(self, *arguments)
            mark("first step begins")

        def batch_end(self: Any, *arguments: Any) -> None:
            mark("first step")
            mark("last step", again=True)
            end(self, *arguments)

        calls.batch_begin, calls.batch_end = batch_begin, batch_end


def main(began: float, output: Path, words: Sequence[str]) -> int:
    """Runs one command line, and writes what it waited for."""
    stopwatch = Stopwatch(began)
    stopwatch.mark("interpreter")
    sys.meta_path.insert(0, Watch(stopwatch))
    from dce_tf.cli import main as run

    code = run(words)
    stopwatch.mark("end")
    noted = {"marks": stopwatch.marks, "spans": stopwatch.spans}
    output.write_text(json.dumps(noted), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.path.pop(0)  # This folder.
    sys.exit(main(float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
