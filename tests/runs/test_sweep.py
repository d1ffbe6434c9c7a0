import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.config import Config
from dce_tf.errors import UsageError
from dce_tf.run_directory import RunDirectory
from dce_tf.runs import sweep
from dce_tf.training.display import Display
from tests import fakes


def test_values_have_the_type_of_their_setting() -> None:
    words = [
        "nb-clusters=1, 4",
        "loss=margin(alpha=0.1, beta=1),proxy_anchor",
        "hierarchical=true,false",
        "embedding_lr=1e-5..1e-3",
        "batch_size=8..64",
    ]
    assert sweep.parse_choices(words) == {
        "num_clusters": [1, 4],
        "loss": ["margin(alpha=0.1, beta=1)", "proxy_anchor"],
        "hierarchical": [True, False],
        "embedding_lr": sweep.Range(1e-5, 1e-3, whole=False),
        "batch_size": sweep.Range(8, 64, whole=True),
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Nothing varies"),
        (["num_cluster=1"], "Did you mean 'num_clusters'"),
        (["num_clusters="], "with its values"),
        (["num_clusters=1", "nb_clusters=2"], "a setting once"),
        (["num_clusters=one"], "num_clusters=one"),
        (["embedding_lr=1e-3..1e-5"], "0 < low < high"),
    ],
)
def test_names_what_cannot_vary(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.parse_choices(words)


def test_grid_has_every_combination_once() -> None:
    choices = sweep.parse_choices(["num_clusters=1,2", "loss=margin,supcon,circle"])
    combinations = [tuple(settings.values()) for settings in sweep.grid(choices)]
    assert len(set(combinations)) == len(combinations) == 6
    with pytest.raises(UsageError, match="has no grid"):
        list(sweep.grid(sweep.parse_choices(["embedding_lr=1e-5..1e-3"])))


def proposals(search: str, trials: int = 12, seed: int = 0, target: float = 1e-4):
    choices = sweep.parse_choices(["embedding_lr=1e-6..1e-2", "num_clusters=1,4"])

    def score(settings: dict) -> float:
        return -abs(math.log(settings["embedding_lr"] / target))

    return list(sweep.draw(choices, trials, search, seed, score))


@pytest.mark.parametrize("search", ["random", "tpe"])
def test_same_seed_and_scores_propose_the_same_so_a_search_goes_on(search: str) -> None:
    whole = proposals(search)
    assert proposals(search) == whole
    assert proposals(search, trials=5) == whole[:5]
    assert proposals(search, seed=1) != whole
    rates = [settings["embedding_lr"] for settings in whole]
    assert len(set(rates)) == 12
    assert all(1e-6 <= rate <= 1e-2 for rate in rates)
    assert {settings["num_clusters"] for settings in whole} == {1, 4}


def test_tpe_learns_where_scores_are_high() -> None:

    def gap(search: str) -> float:
        last = [s["embedding_lr"] for s in proposals(search, trials=60)[30:]]
        return sum(abs(math.log(rate / 1e-4)) for rate in last) / len(last)

    assert gap("tpe") < 0.6 * gap("random")


def test_a_run_is_named_after_what_varies() -> None:
    settings = {"num_clusters": 2, "loss": "margin(beta=1.0)"}
    configs = sweep.configs_of(Config(exp="a"), settings, [0, 3])
    assert [config.exp for config in configs] == [
        f"a-num_clusters=2-loss=margin_beta=1.0-seed-{seed}" for seed in (0, 3)
    ]
    assert [config.random_seed for config in configs] == [0, 3]
    assert {config.num_clusters for config in configs} == {2}
    long = [
        {"loss": "margin() + 0.5 * " * 9 + f"supcon(temperature=0.{i})"} for i in (1, 2)
    ]
    names = [sweep.configs_of(Config(), each, [0])[0].exp for each in long]
    assert len(set(names)) == 2
    assert max(len(name) for name in names) < 100


VARIANTS = [
    sweep.Variant(
        {"num_clusters": 1, "loss": "margin"},
        {"recall@1": [0.5, 0.7], "map@r": [0.25, 0.25]},
        [10.0, 12.0],
        [],
    ),
    sweep.Variant(
        {"num_clusters": 4, "loss": "n_pairs"},
        {"recall@1": [0.8], "map@r": [0.1]},
        [9.0],
        [],
    ),
    sweep.Variant(
        {"num_clusters": 8, "loss": "margin"},
        {"recall@1": [0.9], "map@r": [0.9]},
        [9.0],
        ["seed 1: Exit code 1: Error: no"],
    ),
]


def test_a_variant_with_a_failed_run_is_last_whatever_its_others() -> None:
    by_recall = sweep.ranked(VARIANTS, "recall@1")
    assert [each.settings["num_clusters"] for each in by_recall] == [4, 1, 8]
    by_map = sweep.ranked(VARIANTS, "map@r")
    assert [each.settings["num_clusters"] for each in by_map] == [1, 4, 8]


def test_results_are_written_as_json_csv_and_latex(tmp_path: Path) -> None:
    files = sweep.write_results(tmp_path / "0-sweep", VARIANTS[:2], "recall@1")
    assert [file.name for file in files] == [
        "0-sweep.json",
        "0-sweep.csv",
        "0-sweep.tex",
    ]
    stored = json.loads(files[0].read_text())["runs"]
    assert stored[1]["scores"]["recall@1"] == [0.5, 0.7]
    rows = list(csv.DictReader(files[1].read_text().splitlines()))
    assert rows[1]["recall@1 mean"] == "0.6"
    assert float(rows[1]["recall@1 std"]) == pytest.approx(0.1414, abs=1e-4)
    assert rows[0]["recall@1 std"] == ""
    lines = files[2].read_text().splitlines()
    assert (
        lines[2]
        == r"num\_clusters & loss & recall@1 & map@r & seeds & seconds \\ \hline"
    )
    assert lines[3] == r"4 & n\_pairs & 0.8000 & 0.1000 & 1 & 9 \\"
    assert lines[4].startswith(
        r"1 & margin & 0.6000 $\pm$ 0.1414 & 0.2500 $\pm$ 0.0000"
    )


def finish(config: Config, recall: float) -> None:
    run = RunDirectory.of(config)
    run.prepare(config)
    line = {"epoch": 0, "evaluated_on": "val", "recall@1": recall, "map@r": 0.5}
    run.write_metrics([{**line, "seconds": 3.0}])
    run.write_report({"after": {"recall@1": 0.0}})


def test_runs_that_are_done_are_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def run(config: Config, output: Path) -> str:
        started.append(config.random_seed)
        finish(config, recall=0.1 * config.random_seed)
        return "" if config.random_seed < 3 else "Exit code 1: Error: out of luck"

    monkeypatch.setattr(sweep, "run_in_process", run)
    base = Config(log_dir=str(tmp_path))
    settings = {"num_clusters": 2}
    configs = sweep.configs_of(base, settings, [1, 2, 3])
    finish(configs[0], recall=0.9)
    variant = sweep.run_variant(settings, configs, tmp_path / "out.txt", Display())
    assert started == [2, 3]
    assert variant.scores["recall@1"] == [0.9, 0.2]
    assert variant.seconds == [3.0, 3.0]
    assert variant.failed == ["seed 3: Exit code 1: Error: out of luck"]


def test_overwrite_starts_anew_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(config: Config, output: Path) -> str:
        finish(config, recall=0.25)
        return ""

    monkeypatch.setattr(sweep, "run_in_process", run)
    base = Config(log_dir=str(tmp_path), overwrite=True)
    configs = sweep.configs_of(base, {"num_clusters": 2}, [1])
    finish(configs[0], recall=0.9)
    variant = sweep.run_variant({}, configs, tmp_path / "out.txt", Display())
    assert variant.scores["recall@1"] == [0.25]


def test_drawn_combination_that_cannot_work_is_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    def run(config: Config, output: Path) -> str:
        finish(config, recall=0.25)
        return ""

    monkeypatch.setattr(sweep, "run_in_process", run)
    words = ["--vary=num_clusters=2..6", "--embedding_dim=64", "--trials=8"]
    assert cli.main(["sweep", *words, f"--log_dir={tmp_path}"]) == 1
    assert "works is --embedding_dim=" in capsys.readouterr().out
    runs = json.loads((tmp_path / "default" / "0-sweep.json").read_text())["runs"]
    assert len(runs) == 8
    for each in runs:
        works = 64 % each["settings"]["num_clusters"] == 0
        assert each["scores"]["recall@1"] == ([0.25] if works else [])
        assert bool(each["failed"]) != works
    assert {bool(each["failed"]) for each in runs} == {True, False}


CHILD = """
import os, pathlib, signal, sys, time
def hear(*_):
    print("asked", flush=True)
    while not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.01)
    print("kept", flush=True)
    sys.exit(130)
signal.signal(signal.SIGTERM, hear)
signal.signal(signal.SIGINT, hear)
signal.alarm(60)  # For a test that fails.
print("ready", os.getpid(), flush=True)
while True:
    signal.pause()
"""


def wait_for(word: str, output: Path) -> str:
    while not output.is_file() or word not in (text := output.read_text()):
        time.sleep(0.01)
    return text


def run_and_disturb(tmp_path: Path, disturb: Callable[[int], None]) -> str:
    """Runs the child, and something beside it that is told its process id."""
    output = tmp_path / "out.txt"

    def beside() -> None:
        disturb(int(wait_for("\n", output).split()[1]))

    thread = threading.Thread(target=beside, daemon=True)
    thread.start()
    command = [sys.executable, "-c", CHILD, str(tmp_path / "may go")]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        sweep.run_child(command, output)
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    child = int(output.read_text().split()[1])
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    return output.read_text()


def test_request_to_stop_is_handed_on_and_waited_for(tmp_path: Path) -> None:
    def disturb(child: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for("asked", tmp_path / "out.txt")
        (tmp_path / "may go").touch()

    text = run_and_disturb(tmp_path, disturb)
    assert text.split()[2:] == ["asked", "kept"]


def test_ctrl_c_which_a_child_hears_itself_is_not_said_twice(tmp_path: Path) -> None:
    def disturb(child: int) -> None:
        for each in (os.getpid(), child):
            os.kill(each, signal.SIGINT)
        wait_for("asked", tmp_path / "out.txt")
        time.sleep(0.5)  # `subprocess.run` would kill it in half of this.
        (tmp_path / "may go").touch()

    text = run_and_disturb(tmp_path, disturb)
    assert text.split()[2:] == ["asked", "kept"]


def test_second_request_kills(tmp_path: Path) -> None:
    def disturb(child: int) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for("asked", tmp_path / "out.txt")
        os.kill(os.getpid(), signal.SIGTERM)

    text = run_and_disturb(tmp_path, disturb)
    assert text.split()[2:] == ["asked"]


def test_child_finds_this_package_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "other")
    (tmp_path / "dce_tf.py").write_text("raise SystemExit('another package')")
    output = tmp_path / "out.txt"
    plain = subprocess.Popen

    def popen(command: list[str], **options: object) -> subprocess.Popen:
        where = "import os, dce_tf; print(dce_tf.__path__[0], os.environ['PYTHONPATH'])"
        return plain([*command[: command.index("-c") + 1], where], **options)

    monkeypatch.setattr(sweep.subprocess, "Popen", popen)
    assert sweep.run_in_process(Config(), output) == ""
    root = Path(sweep.__file__).parents[2]
    assert output.read_text().split() == [
        str(root / "dce_tf"),
        f"{root}{os.pathsep}other",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--select_on=test"], "held-out classes"),
        (["--seeds=0,0"], "different numbers"),
        (["--seeds=a"], "such as --seeds=0,1,2"),
        (["--vary=embedding_dim=30,32"], "works is --embedding_dim=32"),
    ],
)
def test_command_refuses_before_the_first_run(
    words: list[str], message: str, capsys, tmp_path: Path
) -> None:
    given = ["--vary=num_clusters=1,4", f"--log_dir={tmp_path}", *words]
    assert cli.main(["sweep", *given]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.slow
def test_sweep_as_a_user_runs_it(tmp_path: Path, capsys) -> None:
    fakes.write_csv(tmp_path / "data", num_classes=16)
    words = [
        "sweep",
        "--dataset=csv",
        f"--data_dir={tmp_path / 'data'}",
        f"--log_dir={tmp_path / 'log'}",
        "--backbone=small",
        "--image_size=32",
        "--batch_size=8",
        "--samples_per_class=2",
        "--embedding_dim=8",
        "--num_epochs=1",
        "--finetune_epoch=0",
        "--nmi_runs=0",
        "--val_fraction=0.3",
        "--noexport",
        "--num_clusters=1",
    ]
    assert cli.main([*words, "--vary=loss=margin,supcon"]) == 0
    out = capsys.readouterr().out
    assert "Best epoch on the held-out classes" in out
    assert "Test scores" not in out
    assert cli.main([*words, "--vary=loss=margin,supcon,fastap(num_bins=1)"]) == 2
    assert cli.main([*words, "--vary=loss=margin,supcon,circle"]) == 0
    table = (tmp_path / "log" / "default" / "0-sweep.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert {row["loss"] for row in rows} == {"margin", "supcon", "circle"}
    printed = (tmp_path / "log" / "default" / "0-sweep.txt").read_text()
    assert printed.count("Device:") == 3, "what was done was trained again"
