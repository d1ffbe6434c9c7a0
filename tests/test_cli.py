import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.base.errors import noted_if_stopped

MAIN = Path(__file__).parents[1] / "main.py"


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(words)
    out, err = capfd.readouterr()
    return code, out, err


def one_line(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in err
    assert len(lines) == 1
    return lines[0]


def test_help_lists_every_command(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "--help")
    assert code == 0
    for name in cli.command_names():
        assert f"\n  {name} " in out
    assert run(capfd, "help")[1] == out


@pytest.mark.parametrize("name", cli.command_names())
def test_every_command_explains_itself(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capfd, name, "--help")
    assert code == 0
    assert out.startswith(f"python main.py {name}")
    assert "--verbose" in out


def test_help_of_train_names_defaults_and_reference_aliases(
    capfd: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = run(capfd, "--embedding-dim=3", "--help")
    assert "--num_clusters=NUMBER  (also --nb_clusters)\n" in out
    assert "Epochs to train. Default: 200.\n" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--nb-cluster=4"], "train has no flag --nb_cluster. Did you mean '--nb_clu"),
        (["export", "--presicion=float16"], "Did you mean '--precision'?"),
        (["serve", "--qwertz"], "Error: serve has no flag --qwertz."),
        (["--num_clusters=four"], "num_clusters=four"),
        (["trian"], "Unknown command 'trian'. Did you mean 'train'"),
        (["--data_dir=photos"], "which --dataset lies there? Pass --dataset=folder"),
        (["data", "--data_dir=photos"], "which --dataset lies there?"),
        (["--data_dir=x", "--profile=best"], "which --dataset lies there?"),
        (["--dataset=inshp"], "Unknown dataset 'inshp'. Did you mean 'inshop'"),
        (["--loss=margn"], "Unknown loss 'margn'. Did you mean 'margin'"),
        (["--loss=margin(bta=1)"], "no option 'bta'. Did you mean 'beta'"),
        (["--miner=nearst"], "Unknown miner 'nearst'. Did you mean 'nearest'"),
        (["--backbone=resnet5"], "Unknown backbone 'resnet5'. Did you mean 'resnet50'"),
        (
            ["--backbone=no/such.keras"],
            "--backbone=no/such.keras: there is no such file",
        ),
        (["--embedding_dim=30", "--num_clusters=4"], "works is --embedding_dim=32"),
        (["--batch_size=30"], "nearest that works is --batch_size=32"),
        (["--finetune_epoch=1", "--full_embedding_epoch=3"], "must not be after"),
        (["train", "now"], "Unexpected word 'now'"),
        (["--backend=faiss-gpu"], "--backend=faiss-gpu: the FAISS installed"),
        (["export"], "Expected one run directory"),
        (["--help=netwrk"], "--help=netwrk: expected one of all, train, data"),
        (["--help=netwrk"], "Did you mean 'network'"),
        (["data", "--help=network"], "--help=network: expected one of all, data"),
        (["--flagfile=no/such.flags"], "Error: Unable to open flagfile: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_command_is_one_line_and_exit_code_2(
    words: list[str], message: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if not words[0].startswith("-") or "--log_dir" in words:
        given = words
    else:
        given = [*words, f"--log_dir={tmp_path}"]
    code, _, err = run(capfd, *given)
    assert code == 2
    assert message in one_line(err)
    assert list(tmp_path.iterdir()) == []


def test_verbose_shows_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "--loss=margn", "--verbose")
    assert code == 2
    assert "Traceback" in err
    assert "Error: Unknown loss" in err


def test_dashes_and_underscores_mean_the_same() -> None:
    assert cli.normalise("--nb-clusters=a-b") == "--nb_clusters=a-b"
    assert cli.normalise("--random-seed") == "--random_seed"
    assert cli.normalise("-x-y") == "-x-y"


def test_dashes_and_underscores_mean_the_same_in_a_flagfile(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "inner.flags").write_text("--batch-size=30\n--no_export\n")
    outer = tmp_path / "outer.flags"
    outer.write_text(
        f"# Ours.\n--log-dir={tmp_path}\n--flagfile={tmp_path}/inner.flags"
    )
    code, _, err = run(capfd, f"--flagfile={outer}")
    assert code == 2
    assert "nearest that works is --batch_size=32" in one_line(err)


def test_main_py_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, MAIN, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "Commands:" in done.stdout
    assert done.stderr == ""


def test_a_request_to_stop_is_heard_through_what_fails_after_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    opened = []

    def write(words: list[str], verbose: bool) -> int:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            opened.extend([archive.open("weights", "w"), archive])
            raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", write)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"
    for each in opened:  # Left open, they would complain within a later test.
        each.close()


def test_stopped_command_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def work(words: list[str], verbose: bool) -> int:
        with noted_if_stopped(lambda: "Outer."), noted_if_stopped(lambda: "Kept."):
            try:
                raise KeyboardInterrupt
            finally:
                raise ValueError("closed")

    monkeypatch.setattr(cli, "_run", work)
    assert cli.main([]) == 130
    assert capsys.readouterr().err == "\nStopped. Kept.\n"


def test_request_to_stop_is_repeated_until_it_is_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    swallowed: list[bool] = []

    def deaf(words: list[str], verbose: bool) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            swallowed.append(True)  # As in a destructor.
        time.sleep(5)
        return 0

    monkeypatch.setattr(cli, "AGAIN_SECONDS", 0.2)
    monkeypatch.setattr(cli, "_run", deaf)
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    assert cli.main([]) == 130
    assert swallowed == [True]
    assert capsys.readouterr().err == "\nStopped.\n"
    assert handlers == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
