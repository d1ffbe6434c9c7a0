"""Searches over settings: many runs, compared on held-out classes."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import itertools
import math
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from rich.table import Table

from dce_tf import config as config_module
from dce_tf.config import Config
from dce_tf.errors import UsageError
from dce_tf.files import write_json, write_text
from dce_tf.registry import split_outside, suggest
from dce_tf.run_directory import RunDirectory, best_line
from dce_tf.training.display import Display

METRICS = ("recall@1", "map@r")

Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, drawn evenly on a logarithmic scale."""

    low: float
    high: float
    whole: bool


Choices = Mapping[str, "list[Any] | Range"]


def parse_choices(words: Sequence[str]) -> Choices:
    """Reads what is to vary.

    Args:
        words: Such as `"num_clusters=1,4"`, `"loss=margin,margin(beta=1)"` or
            `"embedding_lr=1e-5..1e-3"`.

    Returns:
        The values of each setting.

    Raises:
        UsageError: If a setting is unknown, or a value is none of its type.
    """
    known = flags.FlagValues()
    config_module.define_flags(known)
    choices: dict[str, list[Any] | Range] = {}
    for word in words:
        name, _, text = word.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if name not in known:
            raise UsageError(f"--vary={word}: no such setting.{suggest(name, known)}")
        name = config_module.canonical_name(name)
        if name in choices or not text.strip():
            raise UsageError(
                f"--vary={word}: expected a setting once, with its values, such as "
                "--vary=num_clusters=1,4."
            )
        choices[name] = _values(word, text, known[name].parser)
    if not choices:
        raise UsageError("Nothing varies. Use --vary=num_clusters=1,4, for example.")
    return choices


def _values(word: str, text: str, parser: Any) -> list[Any] | Range:
    numeric = isinstance(parser, flags.FloatParser | flags.IntegerParser)
    try:
        if numeric and ".." in text:
            low, high = (parser.parse(end) for end in text.split("..", 1))
        else:
            return [parser.parse(part.strip()) for part in split_outside(text, ",")]
    except ValueError as error:
        raise UsageError(f"--vary={word}: {error}") from error
    if not 0 < low < high:
        raise UsageError(
            f"--vary={word}: a range is drawn on a logarithmic scale, so it needs "
            "0 < low < high, such as 1e-5..1e-3."
        )
    return Range(low, high, whole=isinstance(low, int))


def grid(choices: Choices) -> Iterator[Settings]:
    """Yields every combination.

    Raises:
        UsageError: If a range varies.
    """
    for name, values in choices.items():
        if isinstance(values, Range):
            raise UsageError(
                f"--vary={name} is a range, which has no grid. Give values, or say "
                "with --trials how many to draw."
            )
    for combination in itertools.product(*choices.values()):  # type: ignore[arg-type]
        yield dict(zip(choices, combination, strict=True))


def draw(
    choices: Choices,
    trials: int,
    search: str,
    seed: int,
    score: Callable[[Settings], float],
) -> Iterator[Settings]:
    """Yields combinations that Optuna proposes.

    It keeps no data base: with the same seed and scores it proposes the same again,
    and runs that are done have their scores, so a search goes on where it was stopped.

    Args:
        choices: What varies.
        trials: How many to propose.
        search: `"random"`, or `"tpe"`, which learns from the scores so far (Bergstra et
            al., NIPS 2011).
        seed: Decides what is proposed.
        score: What is to become large; asked after each combination.

    Raises:
        UsageError: If Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UsageError("--trials needs Optuna: pip install optuna.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = {
        "random": optuna.samplers.RandomSampler,
        "tpe": optuna.samplers.TPESampler,
    }
    study = optuna.create_study(
        direction="maximize", sampler=samplers[search](seed=seed)
    )
    space: dict[str, Any] = {}
    for name, values in choices.items():
        if not isinstance(values, Range):
            space[name] = optuna.distributions.CategoricalDistribution(values)
        elif values.whole:
            space[name] = optuna.distributions.IntDistribution(
                int(values.low), int(values.high), log=True
            )
        else:
            space[name] = optuna.distributions.FloatDistribution(
                values.low, values.high, log=True
            )
    for _ in range(trials):
        trial = study.ask(space)
        settings = {name: _rounded(value) for name, value in trial.params.items()}
        yield settings
        value = score(settings)
        if math.isfinite(value):
            study.tell(trial, value)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)


def _rounded(value: Any) -> Any:
    """Keeps four digits: enough to tell settings apart, and readable."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def configs_of(base: Config, settings: Settings, seeds: Sequence[int]) -> list[Config]:
    """Returns the run of each seed, with a name made of what varies.

    Raises:
        UsageError: If the combination cannot work.
    """
    words = [f"{name}={value}" for name, value in settings.items()]
    label = re.sub(r"[^\w.=+-]+", "_", "-".join(words)).strip("_")
    if len(label) > 80:
        digest = hashlib.sha256(label.encode()).hexdigest()[:8]
        label = f"{label[:70]}-{digest}"
    return [
        dataclasses.replace(
            base, **settings, random_seed=seed, exp=f"{base.exp}-{label}-seed-{seed}"
        )
        for seed in seeds
    ]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One combination of settings and what its runs reached.

    Attributes:
        settings: What varies.
        scores: Of each metric, the best epoch's value on the held-out classes, a seed
            each.
        seconds: Of training, a seed each.
        failed: Why runs without a score have none.
    """

    settings: Settings
    scores: dict[str, list[float]]
    seconds: list[float]
    failed: list[str]

    def mean(self, metric: str) -> float:
        """Returns the mean over seeds; NaN if a run failed."""
        values = self.scores[metric]
        return float(np.mean(values)) if values and not self.failed else math.nan

    def text(self, metric: str, sign: str = "±") -> str:
        """Returns mean ± standard deviation of a sample."""
        values = self.scores[metric]
        if not values:
            return "failed"
        if len(values) == 1:
            return f"{values[0]:.4f}"
        return f"{np.mean(values):.4f} {sign} {np.std(values, ddof=1):.4f}"


def run_variant(
    settings: Settings, configs: Sequence[Config], output: Path, display: Display
) -> Variant:
    """Trains the runs of a combination, each in a process of its own.

    Runs that are done are not started again, and one that was stopped goes on.

    Args:
        settings: What varies.
        configs: The run of each seed.
        output: To this file goes what the runs print.
        display: Shows a line a run.
    """
    scores: dict[str, list[float]] = {metric: [] for metric in METRICS}
    seconds, failed = [], []
    for config in configs:
        run = RunDirectory.of(config)
        reason = "" if _is_done(run, config) else run_in_process(config, output)
        if reason:
            failed.append(f"seed {config.random_seed}: {reason}")
            display.note(f"{run.path.name}: failed. {reason}")
            continue
        best = best_line(run.metrics()) or {}
        for metric in METRICS:
            scores[metric].append(float(best[metric]))
        seconds.append(sum(line.get("seconds", 0.0) for line in run.metrics()))
        found = "  ".join(f"{metric} {scores[metric][-1]:.4f}" for metric in METRICS)
        display.note(f"{run.path.name}: {found} (val)")
    return Variant(settings, scores, seconds, failed)


def _is_done(run: RunDirectory, config: Config) -> bool:
    if config.overwrite or run.report() is None:
        return False
    return not run.config().differences(config)


def cannot_work(settings: Settings, error: UsageError, display: Display) -> Variant:
    """Returns what is known of a combination that is no run.

    Args:
        settings: What varies.
        error: Why it is none.
        display: Is told of it.
    """
    display.note(f"{settings}: failed. {error}")
    return Variant(settings, {metric: [] for metric in METRICS}, [], [str(error)])


def run_in_process(config: Config, output: Path) -> str:
    """Trains in a process of its own.

    Args:
        config: The settings.
        output: To this file goes what it prints.

    Returns:
        What went wrong; empty if nothing did.

    Raises:
        KeyboardInterrupt: If somebody asked to stop, when the process has ended.
    """
    words = [
        f"--{field.name}={getattr(config, field.name)}"
        for field in dataclasses.fields(config)
        if getattr(config, field.name) is not None
    ]
    program = "import sys; from dce_tf.cli import main; sys.exit(main(sys.argv[1:]))"
    # This very package, -P: not one in the current folder.
    code = run_child([sys.executable, "-P", "-c", program, *words], output)
    if not code:
        return ""
    lines = output.read_text(encoding="utf-8").splitlines()
    return f"Exit code {code}: {lines[-1] if lines else 'nothing was printed'}"


def run_child(command: Sequence[str], output: Path) -> int:
    """Runs a program, which finds this package, to its end.

    Requests to stop are for it: it may have a step to finish and a checkpoint to write.

    Args:
        command: The program and its words.
        output: What it prints is added to this file.

    Returns:
        Its exit code.

    Raises:
        KeyboardInterrupt: If somebody asked to stop, when it has ended. A second
            request kills it.
    """
    package = Path(__file__).parents[2]
    path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH"))))
    output.parent.mkdir(parents=True, exist_ok=True)
    started: list[subprocess.Popen[bytes]] = []
    with output.open("a", encoding="utf-8") as file, _passed_on(started) as asked:
        child = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path},
        )
        started.append(child)
        if asked:
            child.terminate()
        code = child.wait()
    if asked or code == 130:
        raise KeyboardInterrupt
    return code


@contextlib.contextmanager
def _passed_on(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[list[int]]:
    """Hands requests to stop to children; yields those that there were."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def hear(number: int, _: object) -> None:
        asked.append(number)
        for child in children:
            if len(asked) > 1:
                child.kill()
            elif number == signal.SIGTERM:
                child.terminate()
            # Ctrl-C the terminal gives to children too: twice would be once too often.

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, hear) for each in signals]
    try:
        yield asked
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def results_table(variants: Sequence[Variant], metric: str) -> Table:
    """Returns the variants as a table for the terminal, the best first."""
    table = Table(title="Best epoch on the held-out classes, mean ± std of the seeds")
    for name in variants[0].settings:
        table.add_column(name, overflow="fold")
    for heading in (*METRICS, "seeds", "seconds a run"):
        table.add_column(heading, justify="right", no_wrap=True)
    for variant in ranked(variants, metric):
        table.add_row(*_cells(variant))
    return table


def ranked(variants: Sequence[Variant], metric: str) -> list[Variant]:
    """Returns the variants, the best first and failed ones last."""
    return sorted(variants, key=lambda v: -np.nan_to_num(v.mean(metric), nan=-1.0))


def _cells(variant: Variant, sign: str = "±") -> list[str]:
    return [
        *(str(value) for value in variant.settings.values()),
        *(variant.text(metric, sign) for metric in METRICS),
        str(len(variant.seconds)),
        f"{np.mean(variant.seconds):.0f}" if variant.seconds else "",
    ]


def write_results(path: Path, variants: Sequence[Variant], metric: str) -> list[Path]:
    """Writes all values as JSON, and the table as CSV and LaTeX.

    Args:
        path: Of the files, without an ending.
        variants: In any order.
        metric: What ranks them.

    Returns:
        The three files.
    """
    best_first = ranked(variants, metric)
    files = [path.with_name(f"{path.name}{end}") for end in (".json", ".csv", ".tex")]
    write_json(files[0], {"runs": [dataclasses.asdict(each) for each in best_first]})
    names = list(best_first[0].settings)
    heads = [f"{m} {what}" for m in METRICS for what in ("mean", "std")]
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow([*names, *heads, "seeds", "seconds"])
    for each in best_first:
        numbers = [f(each.scores[m]) for m in METRICS for f in (_mean, _deviation)]
        values = [each.settings[name] for name in names]
        writer.writerow([*values, *numbers, len(each.seconds), _mean(each.seconds)])
    write_text(files[1], rows.getvalue())
    write_text(files[2], _latex(best_first))
    return files


def _mean(values: Sequence[float]) -> float | str:
    return float(np.mean(values)) if values else ""


def _deviation(values: Sequence[float]) -> float | str:
    return float(np.std(values, ddof=1)) if len(values) > 1 else ""


def _latex(variants: Sequence[Variant]) -> str:
    names = [*variants[0].settings, *METRICS, "seeds", "seconds"]
    lines = [
        rf"\begin{{tabular}}{{{'l' * len(variants[0].settings)}rrrr}}",
        r"\hline",
        " & ".join(_escaped(name) for name in names) + r" \\ \hline",
    ]
    for variant in variants:
        cells = (_escaped(cell) for cell in _cells(variant, sign="@"))
        lines.append(" & ".join(cells).replace("@", r"$\pm$") + r" \\")
    # The name of a metric has an @ of its own.
    lines[2] = lines[2].replace(r"$\pm$", "@")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)
