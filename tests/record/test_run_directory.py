import multiprocessing
from pathlib import Path

import pytest

from dce_tf.base.errors import UsageError
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory, best_line


@pytest.fixture
def config(tmp_path: Path) -> Config:
    given = {"dataset": "inshop", "dir": "test", "exp": "0", "num_clusters": 8}
    return Config(log_dir=str(tmp_path), **given)


def test_path_is_that_of_the_reference(config: Config, tmp_path: Path) -> None:
    expected = tmp_path / "test" / "inshop-K-8-M-2-exp-0"
    assert RunDirectory.of(config).path == expected


def test_same_settings_resume(config: Config) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.write_metrics([{"epoch": -1}])
    run.prepare(config.replace(verbose=True))
    assert run.config() == config


def test_other_settings_are_refused_with_what_differs(config: Config) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.write_metrics([{"epoch": -1}])
    with pytest.raises(UsageError, match=r"--batch_size=80 \(now 40\)"):
        run.prepare(config.replace(batch_size=40))


def test_run_that_never_began_gives_way(config: Config) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.prepare(config.replace(batch_size=40))
    assert run.config().loss.batch_size == 40


def test_overwrite_removes_the_old_run(config: Config) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.write_metrics([{"epoch": -1}])
    run.prepare(config.replace(overwrite=True))
    assert run.metrics() == []


def test_run_without_its_settings_is_named_and_can_be_overwritten(
    config: Config,
) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.write_metrics([{"epoch": -1}])
    run.config_file.unlink()
    with pytest.raises(UsageError, match=r"but no config\.json\. Put it back"):
        run.prepare(config)
    run.prepare(config.replace(overwrite=True))
    assert run.metrics() == []


def test_folder_that_is_no_run_is_not_overwritten(config: Config) -> None:
    run = RunDirectory.of(config)
    run.path.mkdir(parents=True)
    (run.path / "thesis.tex").write_text("dear")
    run.prepare(config.replace(overwrite=True))
    assert (run.path / "thesis.tex").is_file()


def test_run_that_gives_way_leaves_no_list_of_other_images(config: Config) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    run.bad_images_file.write_text("{}")
    run.prepare(config.replace(batch_size=40))
    assert run.bad_images_file.is_file()
    run.prepare(config.replace(data_dir="elsewhere"))
    assert not run.bad_images_file.is_file()


def test_metrics_are_a_line_an_epoch(config: Config) -> None:
    run = RunDirectory.of(config)
    history = [{"epoch": -1, "recall@1": 0.5}, {"epoch": 0, "loss": 0.25}]
    run.write_metrics(history)
    assert len(run.metrics_file.read_text().splitlines()) == 2
    assert run.metrics() == history


def test_opening_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"not a run directory: it has no config\.json"
    ):
        RunDirectory.opened(tmp_path)


def _try_lock(path: Path, result: "multiprocessing.Queue[str]") -> None:
    try:
        with RunDirectory(path).locked():
            result.put("locked")
    except ValueError as error:
        result.put(str(error))


def test_lock_keeps_another_process_out(config: Config) -> None:
    run = RunDirectory.of(config)
    context = multiprocessing.get_context("spawn")
    result = context.Queue()
    with run.locked():
        other = context.Process(target=_try_lock, args=(run.path, result))
        other.start()
        assert "in use by another process" in result.get(timeout=180)
        other.join()
    with run.locked():
        pass


def test_best_epoch_is_chosen_by_recall_then_map_then_the_first() -> None:
    def line(epoch: int, recall: float, average: float) -> dict:
        return {"epoch": epoch, "recall@1": recall, "map@r": average}

    untrained = line(-1, 1.0, 1.0)
    history = [untrained, line(0, 0.8, 0.9), {"epoch": 1}, line(2, 0.9, 0.3)]
    assert best_line(history)["epoch"] == 2
    history += [line(3, 0.9, 0.4), line(4, 0.9, 0.4)]
    assert best_line(history)["epoch"] == 3
    assert best_line([untrained]) is None
