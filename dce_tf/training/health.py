"""Training that teaches nothing says so: one rule per function, each told once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from dce_tf.clustering import Division

CUTOFF = 0.5  # Of the miners: negatives nearer than this come last, or are all alike.

Line = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Warned:
    """Something that a run has been warned of.

    Attributes:
        epoch: When, from 0; −1 for before training.
        kind: Which rule it was.
        text: What to do about it, in whole sentences.
    """

    epoch: int
    kind: str
    text: str


class Health(keras.callbacks.Callback):
    """Looks at each epoch for signs that it taught nothing, and warns of each once.

    Must come after the callback that adds the epoch to the history.

    Args:
        history: The metrics of each epoch from −1 on; it grows.
        tell: Called with each warning when it comes up.
        division: Returns the division in force; None before the first.
        num_classes: Classes of the split that chooses the epoch.
        warned: What was told before the run was stopped.
    """

    def __init__(
        self,
        history: Sequence[Line],
        tell: Callable[[Warned], None],
        *,
        division: Callable[[], Division | None] = lambda: None,
        num_classes: int | None = None,
        warned: Sequence[Warned] = (),
    ) -> None:
        super().__init__()
        self._history = history
        self._tell = tell
        self._division = division
        self._num_classes = num_classes
        self._kinds = {each.kind for each in warned}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Warns of what shows before training."""
        del logs
        self._warn(-1, "few_classes", few_classes(self._num_classes))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Warns of the division that was just made."""
        del logs
        self._warn(epoch, "few_clusters", few_clusters(self._division()))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Warns of what the epoch brought."""
        del logs
        self._warn(epoch, "zero_loss", zero_loss(self._history))
        self._warn(epoch, "collapsed", collapsed(self._history))
        self._warn(epoch, "saturated", saturated(self._history, self._num_classes))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Warns where all epochs together brought nothing."""
        del logs
        epoch = self._history[-1]["epoch"]
        self._warn(epoch, "never_better", never_better(self._history))

    def _warn(self, epoch: int, kind: str, text: str | None) -> None:
        if text is None or kind in self._kinds:
            return
        self._kinds.add(kind)
        self._tell(Warned(epoch, kind, text))


def few_classes(num_classes: int | None) -> str | None:
    """Warns where the best epoch is chosen on at most two classes."""
    if num_classes is None or num_classes > 2:
        return None
    return (
        f"The best epoch is chosen on {num_classes} classes, among which nearly every "
        "search is right. Hold out more with --val_fraction, or use --num_folds."
    )


def few_clusters(division: Division | None) -> str | None:
    """Warns of a division that ends with fewer clusters than were asked for."""
    if division is None:
        return None
    used = int((division.sizes > 0).sum())
    if used == division.num_clusters:
        return None
    empty = [str(k) for k, size in enumerate(division.sizes.tolist()) if not size]
    return (
        f"The division has {used} clusters instead of {division.num_clusters}: the "
        f"others had too few classes of two images and were merged, so that learners "
        f"{', '.join(empty)} do not train until the next one. Use "
        f"--num_clusters={max(1, used)}, or let k-means try again with "
        "--cluster_tries=5, or even the clusters out with --cluster_balance=2."
    )


def zero_loss(history: Sequence[Line]) -> str | None:
    """Warns of an epoch whose loss was exactly 0, so that nothing was learned."""
    line = history[-1]
    parts = line.get("learner_losses") or []
    idle = [str(k) for k, loss in enumerate(parts) if loss == 0.0]
    if line["epoch"] < 0 or not (line.get("loss") == 0.0 or idle):
        return None
    where = f"epoch {line['epoch'] + 1}"
    if line.get("loss") != 0.0:
        where += f" for learners {', '.join(idle)}"
    before = any(_values(history[:-1], "loss"))
    if before:
        return (
            f"The loss was exactly 0 in {where}: no pair or triplet violates it any "
            "more, and nothing further is learned. End earlier with --num_epochs, or "
            "ask for more, such as with --loss=multi_similarity."
        )
    return (
        f"The loss was exactly 0 in {where}: no pair or triplet counted, so that "
        "nothing was learned. As long as all embeddings lie close together, "
        "--miner='nearest(fill=False)' finds no negative beyond its cutoff: use "
        "--miner=nearest, --miner=distance_weighted, or another --loss such as "
        "multi_similarity."
    )


def collapsed(history: Sequence[Line]) -> str | None:
    """Warns where training leaves all embeddings in one place, or drives them there.

    From random weights they begin close together and may come closer first, so that two
    trained epochs must agree.
    """
    spreads = _values(history, "mean_distance")
    if len(spreads) < 3 or history[-1].get("mean_distance") is None:
        return None
    first, last, now = spreads[0], *spreads[-2:]
    if now >= CUTOFF or max(last, now) > first or now > last:
        return None
    return (
        f"The embedding has collapsed: two images lie {now:.3f} apart on average, "
        f"{first:.3f} before training, of a possible 2. Use --miner=distance_weighted "
        "or another --loss such as multi_similarity, or lower --embedding_lr and "
        "--backbone_lr."
    )


def saturated(history: Sequence[Line], num_classes: int | None = None) -> str | None:
    """Warns where recall@1 was 1 in every epoch, so that it chooses none."""
    scores = _values(history, "recall@1")
    if len(scores) < 3 or min(scores) < 1.0:
        return None
    split = next(
        (line["evaluated_on"] for line in history if "evaluated_on" in line), "val"
    )
    among = "" if num_classes is None else f" of {num_classes} classes"
    return (
        f"recall@1 on {split}{among} is 1.0000 in every epoch, before training too, so "
        "that it tells no epoch from another. Hold out more classes with "
        "--val_fraction, or use --num_folds."
    )


def never_better(history: Sequence[Line]) -> str | None:
    """Warns where no epoch scored better than the network before training."""
    scored = [line for line in history if line.get("recall@1") is not None]
    before = [line for line in scored if line["epoch"] < 0]
    after = [line for line in scored if line["epoch"] >= 0]
    if not before or not after or before[0]["recall@1"] >= 1.0:
        return None
    best = max(after, key=_score)
    if _score(best) > _score(before[0]):
        return None
    return (
        f"No epoch was better than the network before training: recall@1 "
        f"{before[0]['recall@1']:.4f} before, {best['recall@1']:.4f} at best. Change "
        "--backbone_lr and --embedding_lr, train for more --num_epochs, or use another "
        "--loss or --miner."
    )


def _values(history: Sequence[Line], key: str) -> list[float]:
    """Returns a value of each epoch that has it; what was not finite is None there."""
    return [line[key] for line in history if line.get(key) is not None]


def _score(line: Line) -> tuple[float, float]:
    return line["recall@1"], line.get("map@r") or 0.0
