"""The moving average of the weights, which is evaluated in their place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from dce_tf.evaluation.evaluator import Embedder, Embeddings


class WeightAverage:
    """An exponential moving average of variables.

    At step t the average keeps min(decay, (1 + t) / (10 + t)) of itself, so that a
    short run does not average its beginning in. Keras' own `use_ema` does: of weights
    that walk from 0 to 1 in 200 steps its average at 0.999 is at 0.10, this one at
    0.90.

    Args:
        variables: What to average; Keras variables.
        decay: Share of the average that stays at each step, 0 to 1.
    """

    def __init__(self, variables: Sequence[Any], decay: float) -> None:
        self._of = list(variables)
        self._decay = decay
        self.variables = [
            keras.Variable(
                keras.ops.convert_to_numpy(variable),
                trainable=False,
                aggregation="only_first_replica",
                name="average",
            )
            for variable in self._of
        ]

    def update(self, step: Any) -> None:
        """Moves the average towards the variables; inside a training step.

        Args:
            step: int32 scalar tensor: steps done before.
        """
        step = tf.cast(step, tf.float32)
        keep = tf.minimum(self._decay, (1 + step) / (10 + step))
        for average, variable in zip(self.variables, self._of, strict=True):
            value = tf.convert_to_tensor(variable)
            average.assign(value + keep * (tf.convert_to_tensor(average) - value))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the average in the place of the variables, for a while."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for average, variable in zip(self.variables, self._of, strict=True):
            value = keras.ops.convert_to_numpy(variable)
            variable.assign(keras.ops.convert_to_numpy(average))
            average.assign(value)


class AveragedEmbedder:
    """Embeds with the average of the weights.

    Args:
        embedder: Runs the model.
        average: Of its weights.
    """

    def __init__(self, embedder: Embedder, average: WeightAverage) -> None:
        self._embedder = embedder
        self._average = average

    def embeddings(
        self, paths: Sequence[str], on_batch: Callable[[int], None] = lambda _: None
    ) -> Embeddings:
        """Returns embeddings; see `Embedder`."""
        with self._average.in_place():
            return self._embedder.embeddings(paths, on_batch)
