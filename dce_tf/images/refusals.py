"""Sentences for what a decoder refuses, from the graph to whoever asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_BEFORE, _BEHIND = "assertion failed: [", "]"


@contextlib.contextmanager
def required(condition: Any, *sentence: Any) -> Iterator[None]:
    """Runs the operations within only if a condition holds.

    Args:
        condition: Scalar boolean tensor.
        *sentence: Text and numbers that are joined to what is told otherwise.

    Raises:
        tf.errors.InvalidArgumentError: At run time, if it does not hold.
    """
    parts = [
        part if isinstance(part, str) else tf.strings.as_string(part)
        for part in sentence
    ]
    check = tf.debugging.Assert(condition, [tf.strings.join(parts)])
    with tf.control_dependencies([] if check is None else [check]):
        yield


def sentence_of(message: str) -> str:
    """Returns the sentence in the message of an error of TensorFlow, in one line."""
    # It stands before the names of the operations.
    lines = message.partition("\n\t [[")[0].splitlines() or [""]
    _, _, sentence = lines[-1].rpartition(_BEFORE)
    if len(sentence) < len(lines[-1]):
        return sentence.strip().removesuffix(_BEHIND)
    return lines[-1].strip()
