import mmap
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import growth


def test_growth_is_two_where_linear_and_four_where_quadratic() -> None:
    assert growth.per_doubling([9, 4, 16]) == "2.00"
    assert growth.per_doubling([9, 4, 64]) == "4.00"
    assert growth.per_doubling([0, 0, 5]) == "–"


@pytest.mark.parametrize("part", sorted({*growth.PARTS} - {"pipeline"}))
def test_every_part_works(part: str) -> None:
    growth.PARTS[part](200, 8)()


def test_table_has_a_line_for_each_part() -> None:
    table = growth.make_table("title", "s", {"list": [1.0, 2.0, 4.0]})
    cells = [list(column.cells) for column in table.columns]
    assert cells == [["list"], ["1.000"], ["2.000"], ["4.000"], ["1.41"]]


def test_memory_is_that_at_the_peak_without_what_is_mapped(tmp_path: Path) -> None:
    path = tmp_path / "mapped"
    path.write_bytes(bytes(64 << 20))
    mapped = np.memmap(path, np.uint8)
    # Straight from the kernel: the heap may hold as much that is free.
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with growth.watched_memory() as megabytes:
        with mmap.mmap(-1, 64 << 20, flags=private) as taken:
            for offset in range(0, len(taken), mmap.PAGESIZE):
                taken[offset] = 1
            time.sleep(0.1)
        assert not mapped.any()
    assert 60 < max(megabytes) - megabytes[0] < 80
    assert megabytes[-1] - megabytes[0] < 16
