from pathlib import Path

import pytest

from dce_tf.base.files import write_json
from dce_tf.config import Config
from dce_tf.record.run_directory import RunDirectory
from dce_tf.reports.display import Display
from dce_tf.sweep import variants
from tests.sweep.finished import finish


def test_a_run_is_named_after_what_varies() -> None:
    settings = {"num_clusters": 2, "loss": "margin(beta=1.0)"}
    configs = variants.configs_of(Config(exp="a"), settings, [0, 3])
    assert [config.run.exp for config in configs] == [
        f"a-num_clusters=2-loss=margin_beta=1.0-seed-{seed}" for seed in (0, 3)
    ]
    assert [config.run.random_seed for config in configs] == [0, 3]
    assert {config.division.num_clusters for config in configs} == {2}
    long = [
        {"loss": "margin() + 0.5 * " * 9 + f"supcon(temperature=0.{i})"} for i in (1, 2)
    ]
    names = [variants.configs_of(Config(), each, [0])[0].run.exp for each in long]
    assert len(set(names)) == 2
    assert max(len(name) for name in names) < 100


@pytest.mark.slow
def test_runs_that_are_done_are_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def run(config: Config, output: Path) -> str:
        started.append(config.run.random_seed)
        finish(config, recall=0.1 * config.run.random_seed)
        return "" if config.run.random_seed < 3 else "Exit code 1: Error: out of luck"

    monkeypatch.setattr(variants, "run_in_process", run)
    base = Config(log_dir=str(tmp_path))
    settings = {"num_clusters": 2}
    configs = variants.configs_of(base, settings, [1, 2, 3])
    finish(configs[0], recall=0.9)
    variant = variants.run_variant(settings, configs, tmp_path / "out.txt", Display())
    assert started == [2, 3]
    assert variant.scores["recall@1"] == [0.9, 0.2]
    assert variant.seconds == [3.0, 3.0]
    assert variant.failed == ["seed 3: Exit code 1: Error: out of luck"]


@pytest.mark.parametrize(("began", "now"), [("log/a", "log/b"), ("log/a", None)])
@pytest.mark.parametrize("reverse", [False, True])
def test_whether_a_taught_run_is_done_is_for_the_training_to_say(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    began: str | None,
    now: str | None,
    reverse: bool,
) -> None:
    if reverse:
        began, now = now, began
    monkeypatch.setattr(variants, "run_in_process", lambda *_: "is another one")
    base = Config(log_dir=str(tmp_path), teacher=began)
    (config,) = variants.configs_of(base, {"num_clusters": 2}, [1])
    finish(config, recall=0.9)
    if began is not None:
        write_json(RunDirectory.of(config).teacher_file, {"source": began})
    again = config.replace(teacher=now)
    variant = variants.run_variant({}, [again], tmp_path / "out.txt", Display())
    assert variant.failed == ["seed 1: is another one"]
    assert variant.text("recall@1") == "failed"


def test_overwrite_starts_anew_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: Config, output: Path) -> str:
        finish(config, recall=0.25)
        return ""

    monkeypatch.setattr(variants, "run_in_process", run)
    base = Config(log_dir=str(tmp_path), overwrite=True)
    configs = variants.configs_of(base, {"num_clusters": 2}, [1])
    finish(configs[0], recall=0.9)
    variant = variants.run_variant({}, configs, tmp_path / "out.txt", Display())
    assert variant.scores["recall@1"] == [0.25]
