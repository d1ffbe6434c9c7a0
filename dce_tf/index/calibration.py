"""What a cosine means: a probability, and whether two images are called the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dce_tf.base.program import PROGRAM

EVEN = 0.5
"""The prior of a question that is as often yes as no."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What was learned of a model's scores on classes that it was not trained on.

    Attributes:
        fingerprint: Which model: see `export.fingerprint`.
        far: The share of pairs of two classes that `threshold` is to accept.
        far_interval: Where that share lies for other classes of the same kind, in 9 of
            10 cases.
        threshold: The cosine from which on two images are said to be of one class.
        method: `"logistic"` or `"isotonic"`.
        scores: Cosines, rising.
        log_odds: The log-odds of one class at each, for even odds before; not falling.
            Straight lines between, constant beyond.
        num_classes: Of how many classes the pairs were.
        num_images: Of how many images.
        log_loss: Of the probabilities of pairs of held-out classes, at even odds.
        calibration_error: How far those are from the shares that were right: the mean
            absolute difference over 15 bins.
        prior: Share of the pairs to be asked about that are of one class.
    """

    fingerprint: str
    far: float
    far_interval: tuple[float, float]
    threshold: float
    method: str
    scores: tuple[float, ...]
    log_odds: tuple[float, ...]
    num_classes: int
    num_images: int
    log_loss: float
    calibration_error: float
    prior: float = EVEN

    @classmethod
    def from_json(cls, values: Any, where: str) -> Calibration:
        """Reads what `as_json` gave.

        Args:
            values: As JSON has it.
            where: The file, for an error.

        Raises:
            ValueError: If somebody has changed it into what was never written.
        """
        problem = problem_with(values)
        if problem is not None:
            raise ValueError(
                f"{where} holds no calibration: {problem}. Make it with `{PROGRAM} "
                "calibrate RUN`, then export and index again."
            )
        lists = {
            name: tuple(value)
            for name, value in values.items()
            if isinstance(value, list)
        }
        return cls(**{**values, **lists})

    def as_json(self) -> dict[str, Any]:
        """Returns JSON values."""
        values = dataclasses.asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    def for_classes(self, number: int) -> Calibration:
        """Returns the same for searches among classes.

        As long as nothing is known of a query, it is of a class that is not there as
        probably as of one that is, and of each of those alike.

        Args:
            number: How many classes are searched in; 1 or more.
        """
        return dataclasses.replace(self, prior=EVEN / number)

    def for_images(self, num_classes: int, num_unlabelled: int) -> Calibration:
        """Returns the same for searches among images of which some have no label.

        Those are taken to be of classes of their own, each of as many images as the
        classes of the calibration have on average.

        Args:
            num_classes: How many classes are named.
            num_unlabelled: How many images have no label.
        """
        unnamed = -(-num_unlabelled * self.num_classes // self.num_images)
        return self.for_classes(max(1, num_classes + unnamed))

    def ratios(self, cosines: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns how many times the odds of one class a cosine makes of those before.

        Args:
            cosines: Of any shape.
        """
        found = np.asarray(cosines, np.float64)
        ratios: npt.NDArray[np.float64] = np.exp(
            np.interp(found, self.scores, self.log_odds)
        )
        return ratios

    def probability(self, cosines: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Returns the probability that pairs so alike are of one class, at the prior.

        Args:
            cosines: Of any shape.

        Returns:
            float64 of that shape, 0 to 1.
        """
        odds = self.ratios(cosines) * (self.prior / (1 - self.prior))
        probability: npt.NDArray[np.float64] = odds / (1 + odds)
        return probability


def problem_with(values: Any) -> str | None:
    """Returns what is wrong with the JSON values of a calibration, or None."""
    if not isinstance(values, Mapping):
        return f"expected an object, got {type(values).__name__}"
    for field in dataclasses.fields(Calibration):
        if field.name not in values:
            return f"it has no {field.name!r}"
        if not _FIELDS[field.name](values[field.name]):
            return f"{field.name!r} is {str(values[field.name])[:80]}"
    unknown = sorted(set(values) - set(_FIELDS))
    if unknown:
        return f"nobody knows its {unknown[0]!r}"
    scores, odds = values["scores"], values["log_odds"]
    if len(scores) != len(odds) or len(scores) < 2:
        return "'scores' and 'log_odds' must be equally many, two or more"
    if np.any(np.diff(scores) <= 0) or np.any(np.diff(odds) < 0):
        return "'scores' must rise, and 'log_odds' not fall"
    return None


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 < value < 1


_FIELDS = {
    "fingerprint": lambda value: isinstance(value, str),
    "far": _is_share,
    "far_interval": lambda value: _is_list(value) and len(value) == 2,
    "threshold": _is_number,
    "method": lambda value: value in ("logistic", "isotonic"),
    "scores": _is_list,
    "log_odds": _is_list,
    "num_classes": _is_count,
    "num_images": _is_count,
    "log_loss": _is_number,
    "calibration_error": _is_number,
    "prior": _is_share,
}
