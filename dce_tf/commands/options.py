"""List what can be named in a flag, with options and defaults: `options [KIND]`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from dce_tf.augmentation import AUGMENTATIONS
from dce_tf.backbones import BACKBONES
from dce_tf.datasets import DATASETS
from dce_tf.errors import UsageError
from dce_tf.export import EXPORT_FORMATS
from dce_tf.index.kinds import KINDS as KINDS_OF_INDEX
from dce_tf.losses import LOSSES
from dce_tf.miners import MINERS
from dce_tf.registry import Registry, suggest
from dce_tf.retrieval.rerankers import RERANKERS
from dce_tf.sampling import SAMPLERS
from dce_tf.training.optimizer import OPTIMIZERS
from dce_tf.training.rates import RATES

KINDS: dict[str, Registry[Any]] = {
    "loss": LOSSES,
    "miner": MINERS,
    "sampler": SAMPLERS,
    "backbone": BACKBONES,
    "augmentation": AUGMENTATIONS,
    "optimizer": OPTIMIZERS,
    "lr_schedule": RATES,
    "dataset": DATASETS,
    "rerank": RERANKERS,
    "kind": KINDS_OF_INDEX,
    "format": EXPORT_FORMATS,
}


HEADER = """\
# What can be named in a flag

`python main.py options [KIND]` prints this; `--markdown` wrote this page. Options go in
parentheses, `--loss="margin(beta=1.1, learn_beta=class)"`; a bare word is text. The
docstring of each says more, with the paper it comes from.
"""


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the command."""
    flags.DEFINE_bool("markdown", False, "As tables for a page.", flag_values=values)
    flags.DEFINE_bool(
        "verbose", False, "Show tracebacks and warnings.", flag_values=values
    )


def run(settings: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Lists."""
    for kind in arguments:
        if kind.lstrip("-") not in KINDS:
            raise UsageError(
                f"Unknown kind {kind!r}.{suggest(kind, KINDS)} Known: "
                f"{', '.join(KINDS)}."
            )
    chosen = [kind.lstrip("-") for kind in arguments] or list(KINDS)
    if settings["markdown"]:
        print(HEADER)
    for kind in chosen:
        lines = as_markdown(kind) if settings["markdown"] else as_text(kind)
        print("\n".join([*lines, ""]))
    return 0


def entries(kind: str) -> list[tuple[str, str]]:
    """Returns each name with its options, and what it is in one line."""
    registry, found, applications = KINDS[kind], [], []
    for name in registry:
        factory = registry.factory(name)
        if factory.__module__.endswith(".applications"):
            applications.append(name)
            continue
        options = [
            option if default is inspect.Parameter.empty else f"{option}={default!r}"
            for option, default in registry.options(name).items()
        ]
        summary = (inspect.getdoc(factory) or "").splitlines()[0]
        found.append((f"{name}({', '.join(options)})" if options else name, summary))
    if applications:
        text = f"Networks of keras.applications: {', '.join(applications)}."
        found.append(("NAME(weights='imagenet')", text))
    return found


def as_text(kind: str) -> list[str]:
    """Returns the entries of a kind for the terminal."""
    lines = [f"--{kind}"]
    for name, summary in entries(kind):
        lines += [f"  {name}", f"      {summary}"]
    return lines


def as_markdown(kind: str) -> list[str]:
    """Returns the entries of a kind as a table."""
    rows = [f"| `{name}` | {summary} |" for name, summary in entries(kind)]
    return [
        f"## `--{kind}`",
        "",
        "| name and options | what it does |",
        "| --- | --- |",
        *rows,
    ]
