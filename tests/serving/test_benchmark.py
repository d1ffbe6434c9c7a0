import json
import os
import socket
import time
from collections.abc import Callable

import pytest

from benchmarks import serving as benchmark
from tests.serving.conftest import Live, Served, b64, picture


def test_load_counts_what_is_answered(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    served = serve()
    body = json.dumps({"instances": [b64(picture())]}).encode()
    request = benchmark.request_for(benchmark.PREDICT, body)
    outcome = benchmark.load(live(served).port, request, clients=2, seconds=1.0)
    count = len(outcome["latencies"])
    assert count > 2
    assert 1.0 <= outcome["elapsed"] < 20
    assert 0 < outcome["cpu"] <= outcome["elapsed"] * (os.cpu_count() or 1) + 0.1
    line = ':tensorflow:serving:request_count{model_name="embedder",status="OK"} '
    # A request is counted once its answer is sent, so the last one a moment later.
    end = time.monotonic() + 10
    while f"{line}{float(count)}" not in served.metrics.page().decode():
        assert time.monotonic() < end, served.metrics.page().decode()
        time.sleep(0.05)


def test_an_answer_that_is_no_success_ends_the_benchmark(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    request = benchmark.request_for(benchmark.PREDICT, b"{}")
    with (
        socket.create_connection(("127.0.0.1", live(serve()).port)) as connection,
        pytest.raises(RuntimeError, match=r"HTTP/1\.1 400"),
    ):
        benchmark.exchange(connection, request)


def test_the_picture_that_is_sent_is_one_of_a_camera() -> None:
    jpeg = benchmark.draw_jpeg()
    assert jpeg.startswith(b"\xff\xd8\xff")
    assert 30_000 < len(jpeg) < 120_000


def test_ratios_are_of_the_same_round(capsys) -> None:
    def outcome(count: int, elapsed: float) -> dict:
        latencies = [elapsed / count] * count
        return {"latencies": latencies, "elapsed": elapsed, "server_cpu": elapsed / 2}

    outcomes = {
        (1, "JSON"): [outcome(10, 1.0), outcome(10, 10.0)],
        (1, "as it is"): [outcome(20, 1.0), outcome(20, 10.0)],
    }
    benchmark.print_ratios(outcomes)
    said = capsys.readouterr().out
    assert (said.count("× 2.00"), said.count("× 0.50")) == (1, 2)
