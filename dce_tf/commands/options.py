"""Lists the entries of every registry."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.plugins import installed_plugins
from dce_tf.base.registry import Registry, suggest
from dce_tf.callbacks import CALLBACKS
from dce_tf.datasets import DATASETS
from dce_tf.export import EXPORT_FORMATS
from dce_tf.images.augmentation import AUGMENTATIONS
from dce_tf.index.kinds import KINDS as KINDS_OF_INDEX
from dce_tf.losses import LOSSES
from dce_tf.miners import MINERS
from dce_tf.network.backbones import BACKBONES
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
    "callback": CALLBACKS,
}


HEADER = """\
# What can be named in a flag

`python main.py options [KIND]` prints this; `--markdown` wrote this page. Options go in
parentheses, `--loss="margin(beta=1.1, learn_beta=class)"`; a bare word is text. The
docstring of each says more, with the paper it comes from. With `--plugin`, what it
registers is listed, too.
"""


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
    for name, module in installed_plugins().items() if not settings["markdown"] else ():
        print(f"--plugin={name} is installed ({module}).")
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
        summary = (inspect.getdoc(factory) or "One of yours.").splitlines()[0]
        if registry.origin(name) is not None:
            summary += f" (From {registry.origin(name)}.)"
        if registry.has_grammar(name):
            options = ["..."]  # The summary has an example.
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
