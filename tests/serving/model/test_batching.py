import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tensorflow as tf

from dce_tf.serving.errors import ServingError
from dce_tf.serving.model.batching import Batcher
from dce_tf.serving.model.parts import Part
from dce_tf.serving.model.signatures import Arrays


class Model:
    """Doubles numbers, refuses those below zero, and waits while its gate is shut."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)

    def __call__(self, inputs: Arrays) -> Arrays:
        self.started.release()
        assert self.gate.wait(120)
        self.batches.append(inputs["x"].tolist())
        if (inputs["x"] < 0).any():
            raise tf.errors.InvalidArgumentError(None, None, "below zero")
        return {"y": inputs["x"] * 2}


def part(*numbers: int, pixels: int = 0) -> Part:
    return Part({"x": np.array(numbers)}, pixels)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def make(model: Model) -> Iterator[Callable[..., Batcher]]:
    made = []

    def build(**options: object) -> Batcher:
        made.append(Batcher(**{"num_threads": 1, **options}))
        return made[-1]

    yield build
    model.gate.set()
    for batcher in made:
        batcher.close()


def test_what_waits_while_a_batch_runs_is_the_next_batch(
    make: Callable[..., Batcher], model: Model
) -> None:
    batcher = make(max_batch_size=4)
    answers = batcher.submit("k", model, [part(0)])
    assert model.started.acquire(timeout=60)
    for number in range(1, 7):
        answers += batcher.submit("k", model, [part(number)])
    assert batcher.queued == 6
    model.gate.set()
    results = [answer.result(60)["y"].tolist() for answer in answers]
    assert results == [[2 * number] for number in range(7)]
    assert model.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_parts_count_by_their_examples(
    make: Callable[..., Batcher], model: Model
) -> None:
    batcher = make(max_batch_size=6, max_queued=10)
    answers = batcher.submit("k", model, [part(0, 0, 0)])
    assert model.started.acquire(timeout=60)
    assert batcher.queued == 0, "what runs no longer waits"
    answers += batcher.submit("k", model, [part(1, 1, 1), part(2, 2)])
    answers += batcher.submit("k", model, [part(3, 3)])
    assert batcher.queued == 7
    with pytest.raises(ServingError, match="7 examples wait"):
        batcher.submit("k", model, [part(4, 4, 4, 4)])
    answers += batcher.submit("k", model, [part(5, 5, 5)])
    assert batcher.queued == 10
    model.gate.set()
    for answer in answers:
        answer.result(60)
    assert model.batches == [[0] * 3, [1, 1, 1, 2, 2], [3, 3, 5, 5, 5]]
    assert batcher.queued == 0


def test_a_batch_is_full_by_its_examples(
    make: Callable[..., Batcher], model: Model
) -> None:
    model.gate.set()
    batcher = make(max_batch_size=4, wait_seconds=60)
    answers = batcher.submit("k", model, [part(1, 1, 1)])
    assert not model.started.acquire(timeout=0.1)
    answers += batcher.submit("k", model, [part(2)])
    assert [len(answer.result(60)["y"]) for answer in answers] == [3, 1]
    assert model.batches == [[1, 1, 1, 2]]


def test_a_batch_has_no_more_pixels_than_it_may(
    make: Callable[..., Batcher], model: Model
) -> None:
    batcher = make(max_batch_size=32, max_pixels=10)
    answers = batcher.submit("k", model, [part(0)])
    assert model.started.acquire(timeout=60)
    parts = [part(n, pixels=pixels) for n, pixels in enumerate((4, 6, 1, 20, 9, 1, 0))]
    answers += batcher.submit("k", model, parts)
    model.gate.set()
    for answer in answers:
        answer.result(60)
    assert model.batches == [[0], [0, 1], [2], [3], [4, 5, 6]]
    assert batcher.queued == 0


def test_parts_of_other_keys_are_not_mixed(
    make: Callable[..., Batcher], model: Model
) -> None:
    batcher = make()
    answers = batcher.submit("k", model, [part(0)])
    assert model.started.acquire(timeout=60)
    for number in range(1, 5):
        answers += batcher.submit(number % 2, model, [part(number)])
    model.gate.set()
    for answer in answers:
        answer.result(60)
    assert model.batches == [[0], [1, 3], [2, 4]]


def test_a_batch_waits_for_others_as_long_as_it_may(
    make: Callable[..., Batcher], model: Model
) -> None:
    model.gate.set()
    batcher = make(max_batch_size=3, wait_seconds=60)
    answers = batcher.submit("k", model, [part(1)])
    assert not model.started.acquire(timeout=0.1)
    answers += batcher.submit("k", model, [part(2), part(3)])
    assert [answer.result(60)["y"].tolist() for answer in answers] == [[2], [4], [6]]
    assert model.batches == [[1, 2, 3]]


def test_one_bad_part_fails_alone(make: Callable[..., Batcher], model: Model) -> None:
    batcher = make(max_batch_size=32)
    batcher.submit("k", model, [part(0)])
    assert model.started.acquire(timeout=60)
    numbers = [[n] if n % 5 else [-n, n] for n in range(1, 12)]
    answers = [batcher.submit("k", model, [part(*each)])[0] for each in numbers]
    model.gate.set()
    for given, answer in zip(numbers, answers, strict=True):
        if min(given) < 0:
            with pytest.raises(ServingError, match="below zero") as error:
                answer.result(60)
            assert error.value.http == 400
        else:
            assert answer.result(60)["y"].tolist() == [2 * given[0]]


def test_a_full_queue_takes_all_parts_or_none(
    make: Callable[..., Batcher], model: Model
) -> None:
    batcher = make(max_batch_size=4, max_queued=4)
    answers = batcher.submit("k", model, [part(0)])
    assert model.started.acquire(timeout=60)
    answers += batcher.submit("k", model, [part(1), part(2), part(3)])
    with pytest.raises(ServingError, match="queue to which") as error:
        batcher.submit("k", model, [part(4), part(5)])
    assert error.value.code == "UNAVAILABLE"
    assert batcher.queued == 3
    answers += batcher.submit("k", model, [part(6)])
    model.gate.set()
    for answer in answers:
        answer.result(60)
    assert model.batches == [[0], [1, 2, 3, 6]]


def test_an_idle_queue_takes_what_is_larger_than_it(
    make: Callable[..., Batcher], model: Model
) -> None:
    model.gate.set()
    (answer,) = make(max_batch_size=2, max_queued=2).submit(
        "k", model, [part(*range(9))]
    )
    assert len(answer.result(60)["y"]) == 9


def test_nobody_works_for_who_has_left(
    make: Callable[..., Batcher], model: Model
) -> None:
    batcher = make()
    batcher.submit("k", model, [part(0)])
    assert model.started.acquire(timeout=60)
    (gone,) = batcher.submit("k", model, [part(1)])
    (left,) = batcher.submit("k", model, [part(2)])
    assert gone.cancel()
    model.gate.set()
    left.result(60)
    assert model.batches == [[0], [2]]


def test_what_waits_is_answered_before_the_end(model: Model) -> None:
    batcher = Batcher(num_threads=1, wait_seconds=60)
    (answer,) = batcher.submit("k", model, [part(1)])
    model.gate.set()
    batcher.close()
    assert answer.result(0)["y"].tolist() == [2]
    with pytest.raises(ServingError, match="shutting down"):
        batcher.submit("k", model, [part(1)])


def test_batches_are_observed(make: Callable[..., Batcher], model: Model) -> None:
    seen: list[tuple[int, int]] = []
    batcher = make(observe=lambda rows, waits: seen.append((rows, len(waits))))
    answers = batcher.submit("k", model, [part(0)])
    assert model.started.acquire(timeout=60)
    answers += batcher.submit("k", model, [part(1, 2), part(3)])
    model.gate.set()
    for answer in answers:
        answer.result(60)
    assert seen == [(1, 1), (3, 2)]


def test_batches_run_beside_each_other(
    make: Callable[..., Batcher], model: Model
) -> None:
    batcher = make(num_threads=2)
    for number in range(2):
        batcher.submit("k", model, [part(number)])
        assert model.started.acquire(timeout=60)
