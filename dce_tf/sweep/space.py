"""Which settings vary, and the combinations of their values."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from dce_tf import config as config_module
from dce_tf.base.errors import UsageError
from dce_tf.base.program import tell_to_install
from dce_tf.base.registry import split_outside, suggest


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, drawn evenly on a logarithmic scale."""

    low: float
    high: float
    whole: bool


Choices = Mapping[str, "list[Any] | Range"]
Settings = dict[str, Any]


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
        raise UsageError(
            f"--trials needs Optuna ({error}): {tell_to_install('sweep')}."
        ) from error
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
