import multiprocessing

import numpy as np
import pytest

from benchmarks import timing


@pytest.mark.slow
def test_peak_is_of_the_process_itself() -> None:
    size = 400 * 2**20
    big = np.ones(size, np.uint8)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        child = pool.apply(timing.peak_memory)
    assert big.sum() == size
    assert child < 300 < 400 < timing.peak_memory()
