import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.newcomer import __main__ as newcomer
from benchmarks.newcomer import pages, place, trials
from benchmarks.newcomer.clock import Clock
from benchmarks.newcomer.photographs import list_classes, make_folder
from benchmarks.newcomer.pictures import MOST_BYTES, shrink

PAGE = textwrap.dedent("""\
    # Title

    Words, then

        one --flag=a \\
          --other=b
        two | three

        four DIR --index=DIR/index  # DIRECTORY

    - a list
      that is no block

    ```python
        no_block = 1
    ```
    """)


def test_command_lines_are_those_of_indented_blocks() -> None:
    assert pages.command_lines(PAGE)[:2] == ["one --flag=a --other=b", "two | three"]
    line = pages.command_lines(PAGE)[3]
    assert pages.fill(line, DIR=r"a\1") == r"four a\1 --index=a\1/index  # DIRECTORY"


@pytest.mark.parametrize("name", pages.COMMANDS)
def test_pages_print_what_is_tried(name: str) -> None:
    line = pages.command(name, DIR="photographs", RUN="log/run")
    assert "DIR" not in line.split()
    assert "RUN" not in line


def test_every_command_is_tried() -> None:
    program = Path(trials.__file__).read_text(encoding="utf-8")
    for name in pages.COMMANDS:
        assert f'command("{name}"' in program or f'installed("{name}"' in program


def test_command_that_no_page_prints_is_refused(monkeypatch) -> None:
    gone = pages.Printed("README.md", "python main.py fly")
    monkeypatch.setitem(pages.COMMANDS, "fly", gone)
    with pytest.raises(ValueError, match=r"README.md prints 0 command lines"):
        pages.command("fly")


def test_program_of_the_tutorial_is_the_example() -> None:
    idea = pages.program_of(pages.OWN_IDEA, "@LOSSES.register")
    example = (pages.ROOT / "examples" / "own_loss.py").read_text(encoding="utf-8")
    assert "class LogShareLoss" in idea
    assert set(idea.splitlines()) <= set(example.splitlines())


def test_address_of_tensorboard_is_not_where_it_takes_reports() -> None:
    lines = [
        "    https://github.com/tensorflow/tensorboard/issues/4784",
        "TensorBoard 2.21.0 at http://localhost:6006/ (Press CTRL+C to quit)",
    ]
    found = [re.search(trials._BOARD, line) for line in lines]
    assert found[0] is None
    assert found[1][1] == "http://localhost:6006/"


def write_photographs(folder: Path, sizes: dict[str, int]) -> Path:
    for name, size in sizes.items():
        (folder / name).mkdir(parents=True)
        for number in range(size):
            (folder / name / f"{number:02}.jpg").write_text(f"{name} {number}")
    return folder


def asked(images: Path, **changes: object) -> trials.Asked:
    given = {"per_class": 3, "few": 2, "query": None, "backbone": None}
    return trials.Asked(**{**given, "images": images, "pictures": images, **changes})


def test_photograph_to_search_with_is_in_no_folder(tmp_path: Path) -> None:
    images = write_photographs(tmp_path / "all", {"kiwi": 5, "lime": 4, "plum": 3})
    classes = list_classes(images, 3)
    make_folder(classes, tmp_path / "own", 3)
    copied = sorted((tmp_path / "own").rglob("*.jpg"))
    assert [path.parent.name for path in copied] == ["kiwi"] * 3 + ["lime"] * 3
    photograph = asked(images).photograph()
    assert photograph.name == "03.jpg"
    assert photograph.read_text() not in {path.read_text() for path in copied}
    make_folder(classes, tmp_path / "few", 3, ["lime"])
    assert [path.name for path in (tmp_path / "few").iterdir()] == ["lime"]


def test_folder_without_enough_photographs_is_refused(tmp_path: Path) -> None:
    images = write_photographs(tmp_path, {"kiwi": 3})
    with pytest.raises(ValueError, match="no folder of more than 3 photographs"):
        list_classes(images, 3)
    with pytest.raises(ValueError, match="--query=plum: not among kiwi"):
        asked(images, per_class=2, query="plum").photograph()


def test_network_that_is_here_stands_in(tmp_path: Path) -> None:
    there = asked(tmp_path, backbone=tmp_path / "own.keras")
    word = f"--backbone={(tmp_path / 'own.keras').resolve()}"
    assert there.with_backbone("a --backbone=b --c") == f"a {word} --c"
    assert there.with_backbone("a --c") == f"a --c {word}"
    assert asked(tmp_path).with_backbone("a --backbone=b") == "a --backbone=b"


SERVER = """
import signal, sys, time
def end(*_):
    print("bye")
    sys.exit(130)
signal.signal(signal.SIGINT, end)
print("at 7")
time.sleep(60)
"""


@pytest.fixture
def here(tmp_path: Path) -> place.Place:
    return place.Place(tmp_path / "room" / "a", "a", with_checkout=False)


def test_command_is_run_in_the_place_and_timed(here: place.Place) -> None:
    done = here.run("waits", "pwd; sleep 0.3; echo $HOME", installs=True)
    assert done.text.splitlines() == [str(here.folder), f"{here.folder}-home"]
    (step,) = here.steps
    assert (step.what, step.installs) == ("waits", True)
    assert 0.3 <= step.seconds < 60
    assert "$ pwd" in here.log.read_text()


def test_environment_of_this_program_is_not_there(
    here: place.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCE_TF_TOKEN", "secret")
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin:/usr/bin:/bin")
    done = here.run("looks", "echo $PATH:$DCE_TF_TOKEN$PYTHONPATH")
    assert done.text == "/usr/bin:/bin:"


def test_clock_stands_while_the_program_is_stopped() -> None:
    moments = iter([0.0, 0.5, 1.0, 100.0, 101.0])
    clock = Clock(lambda: next(moments))
    assert [clock.now() for _ in range(4)] == [0.5, 1.0, 1.0, 2.0]


def test_failed_command_says_what_it_printed(here: place.Place) -> None:
    with pytest.raises(ValueError, match=r"Exit code 3\. [^$]*out of luck"):
        here.run("fails", "echo out of luck; exit 3")
    assert here.steps == []


def test_server_is_waited_for_and_stopped(here: place.Place) -> None:
    with here.start(f"exec {sys.executable} -c '{SERVER}'") as running:
        assert running.wait_for(r"at (\d)", 60)[1] == "7"
    assert running.process.returncode == 130
    assert running.text == "at 7\nbye"
    with (
        pytest.raises(ValueError, match="'never' was not printed"),
        here.start("true") as ended,
    ):
        ended.wait_for("never", 60)


def test_steps_of_quickstart_are_timed(here: place.Place) -> None:
    running = here.start("true")
    running.wait()
    running.lines = [
        (1.0, "Step 1 of 3, look at every image:"),
        (3.0, "Step 2 of 3, train: done already, it is there."),
        (4.0, "Step 3 of 3, serve the page:"),
    ]
    trials.note_steps(here, running, 9.0)
    assert [(step.what, step.seconds) for step in here.steps] == [
        ("… look at every image", 3.0),
        ("… serve the page", 5.0),
    ]


def test_table_keeps_installing_apart() -> None:
    steps = [
        place.Step("loss", "install", "pip install it", 120.0, installs=True),
        place.Step("loss", "train", "x" * 200, 60.0),
        place.Step("loss", "… part of it", "", 30.0),
    ]
    table = newcomer.make_table(steps)
    columns = [list(column.cells) for column in table.columns]
    assert columns[3] == ["2.0", "1.0", "0.5", "2.0", "1.0"]
    assert columns[2][1].endswith("x…`")
    assert columns[2][2] == ""


def test_checkout_is_copied_without_what_git_does_not_know(tmp_path: Path) -> None:
    place.copy_checkout(tmp_path / "copy")
    assert (tmp_path / "copy" / "main.py").is_file()
    assert not (tmp_path / "copy" / ".git").exists()


def test_picture_becomes_small_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = tmp_path / "a.png"
    noise = rng.integers(0, 256, (500, 500, 3), np.uint8)
    Image.fromarray(noise).save(picture)
    assert picture.stat().st_size > MOST_BYTES
    shrink(picture)
    assert picture.stat().st_size < MOST_BYTES
    with Image.open(picture) as image:
        assert image.size == (500, 500)


def test_unknown_trial_is_refused(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        newcomer.main(["--images=.", "--only=folder,fly"])
    assert "--only=fly: expected of folder, loss, wheel" in capsys.readouterr().err
