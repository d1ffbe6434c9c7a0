import threading
from pathlib import Path

import numpy as np
import pytest

from benchmarks import soak
from benchmarks.timing import look
from dce_tf.record import EpochRecord
from dce_tf.runs.session import check


def samples(count: int = 40, leak: float = 0.0) -> list[soak.Sample]:
    rng = np.random.default_rng(0)
    return [
        soak.Sample(
            epoch,
            "divide" if epoch < count // 2 else "finetune",
            500 + leak * epoch + rng.normal(),
            8,
            20,
            (1.0 if epoch < count // 2 else 3.0) + rng.normal(scale=0.01),
        )
        for epoch in range(count)
    ]


def test_slope_is_over_a_hundred_epochs() -> None:
    epochs = np.arange(50.0)
    assert soak.slope(epochs, 2 * epochs + 7) == pytest.approx(200)
    assert soak.slope(epochs[:1], epochs[:1]) == 0


def test_interval_holds_the_slope_and_tells_a_leak_from_noise() -> None:
    for leak in (0.0, 0.5):
        own = samples(200, leak)
        epochs = np.asarray([float(sample.epoch) for sample in own])
        values = np.asarray([sample.megabytes for sample in own])
        found, low, high = soak.slope_interval(epochs, values)
        assert low < found < high
        assert low < 100 * leak < high
        assert (low > 0) == (leak > 0)


def test_stages_of_different_length_do_not_count_as_growth() -> None:
    seconds = soak.within_stages(samples())
    np.testing.assert_allclose(seconds, 1, atol=0.1)


def test_process_is_looked_at(tmp_path: Path) -> None:
    memory, handles, threads = look()
    done = threading.Event()
    waiting = threading.Thread(target=done.wait)
    waiting.start()
    with (tmp_path / "file").open("w"):
        more = look()
    done.set()
    waiting.join()
    assert more[1:] == (handles + 1, threads + 1)
    assert memory > 10


def test_table_leaves_the_warm_up_out() -> None:
    table = soak.make_table(samples())
    assert table.title == "Epochs 5 to 40"
    cells = [list(column.cells) for column in table.columns]
    assert cells[3][1:3] == ["0.00", "0.00"]
    assert cells[4][1] == "0.00 to 0.00"


@pytest.mark.parametrize("trim", [False, True])
def test_every_epoch_is_a_sample(trim: bool) -> None:
    watch = soak.Watch(trim=trim)
    watch.on_train_begin()
    for epoch in range(2):
        watch.set_params({"record": EpochRecord(epoch, "divide")})
        watch.on_epoch_end(epoch)
    assert [(sample.epoch, sample.stage) for sample in watch.samples] == [
        (0, "divide"),
        (1, "divide"),
    ]
    assert watch.samples[1].megabytes > 10


def test_every_epoch_is_a_line_of_the_csv(tmp_path: Path) -> None:
    soak.write_csv(tmp_path / "soak.csv", samples(3))
    lines = (tmp_path / "soak.csv").read_text().splitlines()
    assert lines[0] == "epoch,stage,megabytes,handles,threads,seconds"
    assert len(lines) == 4


def test_settings_are_those_of_the_example() -> None:
    from dce_tf.config.profiles import RECIPES

    check(soak.GLYPHS)
    flags = (RECIPES / "glyphs.flags").read_text().splitlines()
    given = dict(line[2:].split("=", 1) for line in flags if line.startswith("--"))
    schedule = {"num_epochs", "full_embedding_epoch", "finetune_epoch"}
    for name in set(given) - schedule:
        value = soak.GLYPHS.as_dict()[name]
        assert type(value)(given[name]) == value, name
