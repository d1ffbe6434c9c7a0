"""Which values of a parametrised test only `--slow` tries."""

from collections.abc import Iterable
from typing import Any

import pytest


def rest_is_slow(values: Iterable[Any], quick: int = 1) -> list[Any]:
    """Marks all but the first values as slow, where one shows most and all cost much.

    Args:
        values: What `parametrize` takes: values, or a tuple of them for several names;
            no `pytest.param`.
        quick: How many are always tried.
    """
    values = [value if isinstance(value, tuple) else (value,) for value in values]
    slow = (pytest.param(*value, marks=pytest.mark.slow) for value in values[quick:])
    return [*(pytest.param(*value) for value in values[:quick]), *slow]
