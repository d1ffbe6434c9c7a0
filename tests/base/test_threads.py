import threading
import time

import pytest

from dce_tf.base.threads import beside, map_ahead


def test_results_are_in_order_whoever_is_first() -> None:
    def work(item: int) -> int:
        time.sleep(0.003 * (item % 3))
        return 2 * item

    found = map_ahead(work, range(20), num_threads=4, ahead=5)
    assert list(found) == list(range(0, 40, 2))
    assert list(map_ahead(work, [], ahead=5)) == []


def test_work_is_ahead_but_not_far() -> None:
    drawn = []

    def items():
        for item in range(100):
            drawn.append(item)
            yield item

    results = map_ahead(lambda item: item, items(), num_threads=2, ahead=3)
    assert next(results) == 0
    assert len(drawn) == 4
    assert next(results) == 1
    assert len(drawn) == 5


def test_error_is_raised_where_its_result_is_due() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = map_ahead(work, range(9), num_threads=2, ahead=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_threads_end_with_the_iterator() -> None:
    before = threading.active_count()
    results = map_ahead(lambda item: item, range(100), num_threads=3, ahead=9)
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_what_nobody_waits_for_is_not_begun() -> None:
    done = []

    def work(item: int) -> None:
        time.sleep(0.01)
        done.append(item)

    results = map_ahead(work, range(100), num_threads=1, ahead=50)
    next(results)
    results.close()
    assert len(done) < 40


def test_both_are_done_behind_the_block() -> None:
    done, within = [], threading.Event()

    def work(name: str) -> None:
        assert within.wait(30)  # Set only if both go on at once.
        time.sleep(0.05)  # Whoever does not wait for it is behind the block by now.
        done.append(name)

    with beside(work, "beside"):
        done.append("within")
        within.set()
    assert done == ["within", "beside"]


def test_what_is_beside_can_be_waited_for_within() -> None:
    done: list[str] = []

    def work() -> None:
        time.sleep(0.05)
        done.append("beside")

    with beside(work) as wait:
        wait()
        done.append("within")
    assert done == ["beside", "within"]

    def fail() -> None:
        raise ValueError("beside")

    with pytest.raises(ValueError, match="beside") as caught, beside(fail) as wait:
        wait()
    assert not hasattr(caught.value, "__notes__")


def test_no_error_is_lost_on_either_side() -> None:
    def fail() -> None:
        raise ValueError("beside")

    with pytest.raises(ValueError, match="beside"), beside(fail):
        pass
    with pytest.raises(KeyError, match="within") as caught, beside(fail):
        raise KeyError("within")
    (note,) = caught.value.__notes__
    assert "ValueError('beside')" in note
