"""Steps come in order, each once, and say what they do."""

import io
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from dce_tf.base.errors import UsageError
from dce_tf.commands.running import read_words
from dce_tf.config import Config
from dce_tf.quickstart import steps as module
from dce_tf.quickstart.looking import look
from dce_tf.quickstart.steps import Step, as_words, run_steps, steps_to_page
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from tests import fakes

Ran = list[tuple[str, list[str]]]


@pytest.fixture
def display() -> Display:
    return Display(Console(file=io.StringIO(), soft_wrap=True))


def told(display: Display) -> str:
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue()


def runner(ran: Ran, fails: dict[str, Exception | int] | None = None) -> Callable:
    def run(name: str, words: list[str]) -> int:
        ran.append((name, list(words)))
        result = (fails or {}).get(name, 0)
        if isinstance(result, Exception):
            raise result
        return result

    return run


def step(name: str, **options: object) -> Step:
    return Step(f"do {name}", name, lambda: ["A B"], **options)


def test_every_step_is_a_command_that_can_be_copied(display: Display) -> None:
    ran: Ran = []
    assert run_steps([step("a"), step("b")], runner(ran), display) == 0
    assert ran == [("a", ["A B"]), ("b", ["A B"])]
    assert "Step 1 of 2, do a:\n  python main.py a 'A B'\n" in told(display)


def test_only_the_last_step_says_what_to_try_next(display: Display) -> None:
    def run(name: str, words: list[str]) -> int:
        display.try_next(f"go on after {name}")
        return 0

    run_steps([step("a"), step("b")], run, display)
    assert "Try next:\n  go on after b\n" in told(display)
    assert "go on after a" not in told(display)


def test_what_is_done_is_passed_over_with_a_line(display: Display) -> None:
    ran: Ran = []
    done = step("a", done=lambda: "x is there.")
    assert run_steps([done, step("b")], runner(ran), display) == 0
    assert [name for name, _ in ran] == ["b"]
    assert "Step 1 of 2, do a: done already, x is there." in told(display)


def test_steps_that_the_page_needs_end_it(display: Display) -> None:
    ran: Ran = []
    two = [step("a", remedy="Mend it."), step("b")]
    assert run_steps(two, runner(ran, {"a": 1}), display) == 1
    assert "Mend it. Then start the same command again." in told(display)
    with pytest.raises(ValueError, match="broken"):
        run_steps(two, runner(ran, {"a": ValueError("broken")}), display)
    assert [name for name, _ in ran] == ["a", "a"]


def test_goes_on_without_what_can_be_missed_and_says_why(display: Display) -> None:
    ran: Ran = []
    missed = step("a", may_fail=True)
    fails = {"a": ValueError("20 classes are too few.")}
    assert run_steps([missed, step("b")], runner(ran, fails), display) == 0
    assert [name for name, _ in ran] == ["a", "b"]
    assert "Goes on without this step: 20 classes are too few." in told(display)
    with pytest.raises(UsageError):
        run_steps([missed], runner(ran, {"a": UsageError("typo")}), display)


def test_settings_become_words_that_train_reads() -> None:
    settings = {"val_fraction": 0.125, "cache_images": True, "export": False, "exp": ""}
    words = as_words({**settings, "num_epochs": 3, "backbone_wd": 0.0})
    assert words[:3] == ["--val_fraction=0.125", "--cache_images", "--noexport"]
    values, _ = read_words("train", words)
    assert {name: values[name] for name in settings} == settings
    assert values["backbone_wd"] == 0


def pages_steps(root: Path, num_classes: int, **options: object) -> list[Step]:
    fakes.write_csv(root / "data", num_classes, 2)
    found = look(str(root / "data"))
    settings = {"log_dir": str(root / "log"), "max_bad_images": 0.5}
    config = Config(dataset="csv", val_fraction=0.5, **settings)
    usual = {"serves": True, "opens": False, "port": 9, **options}
    return steps_to_page(found, settings, config, **usual)


def test_steps_lead_from_the_photographs_to_the_page(tmp_path: Path) -> None:
    steps = pages_steps(tmp_path, 20)
    run = tmp_path / "log" / "default" / "csv-K-1-M-2-exp-0"
    named = {each.name: shlex.join(each.words()) for each in steps}
    assert list(named) == ["data", "train", "calibrate", "embed", "index", "serve"]
    assert named["data"] == (
        f"--dataset=csv --data_dir={tmp_path}/data --max_bad_images=0.5 "
        f"--output_dir={run.parent}"
    )
    assert named["train"].startswith("--profile=best ")
    assert named["calibrate"] == str(run)
    assert named["embed"] == f"{run} --split=all"
    assert named["index"] == f"{run}/embeddings"
    assert named["serve"] == f"{run} --index={run}/index --port=9"
    assert all(each.done() is None for each in steps)


def test_an_index_takes_what_was_learned_of_scores(tmp_path: Path) -> None:
    steps = pages_steps(tmp_path, 20)
    run = RunDirectory(tmp_path / "log" / "default" / "csv-K-1-M-2-exp-0")
    run.path.mkdir(parents=True)
    run.calibration_file.touch()
    (run.path / "index").mkdir()
    words = steps[-2].words()
    assert words == [
        f"{run.path}/embeddings",
        f"--calibration={run.path}",
        "--overwrite",
    ]
    assert steps[2].done() == f"{run.calibration_file} is there."


def test_too_few_classes_are_not_calibrated_on(tmp_path: Path) -> None:
    names = [each.name for each in pages_steps(tmp_path, 4, serves=False)]
    assert names == ["data", "train", "embed", "index"]


def test_a_port_that_is_taken_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = pages_steps(tmp_path, 4, port=None, opens=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(module, "PORT", port)
        assert steps[-1].words()[-2:] == ["--port=0", "--open"]
    assert not any(word.startswith("--port") for word in steps[-1].words())
