"""Codes of places as they are stored: bytes, and a name that tells their numbers."""

from __future__ import annotations

import re

import numpy as np

from dce_tf.index.collection import Places

_NAME = re.compile(r"([1-9]\d*)-[0-9a-f]+")


def is_name_of_places(value: object) -> bool:
    """Returns whether a value may be a `PlaceHead.digest`."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def place_numbers(name: str) -> int:
    """Returns how many numbers codes have, by their name; 0 where it is empty.

    Raises:
        ValueError: If it is no name of codes.
    """
    if not name:
        return 0
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"Codes of places are called {name[:80]!r}; expected 64-….")
    return int(found[1])


def as_places(codes: bytes | None, numbers: int) -> Places | None:
    """Returns stored codes as int8 `(places, numbers)`; None for none.

    Raises:
        ValueError: If their size does not fit.
    """
    if codes is None:
        return None
    if len(codes) % numbers:
        raise ValueError(
            f"Codes of places of {len(codes)} bytes are stored, where each place has "
            f"{numbers}. Embed and index again."
        )
    return np.frombuffer(codes, np.int8).reshape(-1, numbers)
