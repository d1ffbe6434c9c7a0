"""From a folder to a page with one command, and again where it was stopped."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from dce_tf import cli
from dce_tf.commands import quickstart, serve
from dce_tf.config import Config
from dce_tf.index import open_collection
from dce_tf.record.run_directory import RunDirectory
from dce_tf.serving.settings import Settings
from tests import fakes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with `photos` in it, where the program is started."""
    fakes.write_folder(tmp_path, 6, 4, splits=("photos",))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["quickstart", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_dry_run_says_all_and_does_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "photos", "--backbone=small", "--dry_run")
    assert (code, err) == (0, "")
    assert "photos: 24 images of 6 classes, 4 per class" in out
    assert "4 classes are too few to hold some out" in out
    assert "a rough estimate" in out
    commands = [line.split()[2] for line in out.splitlines() if "main.py" in line]
    assert commands == ["data", "train", "embed", "index", "serve"]
    assert [path.name for path in place.iterdir()] == ["photos"]


def test_flags_of_train_go_to_train(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(
        quickstart, "run_command", lambda name, words: ran.append((name, words)) or 0
    )
    words = ("photos", "--backbone=small", "--loss=margin", "--nb-epochs=3", "--port=7")
    code, out, _ = call(capsys, *words, "--exp=mine", "--open")
    assert code == 0
    assert [name for name, _ in ran] == ["data", "train", "embed", "index", "serve"]
    train = dict(ran)["train"]
    assert {"--loss=margin", "--num_epochs=3", "--exp=mine"} <= set(train)
    assert dict(ran)["serve"][-2:] == ["--port=7", "--open"]
    assert f"  python main.py train {shlex.join(train)}\n" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Expected one folder of photographs, received 0"),
        (["a", "b"], "received 2"),
        (["no/such"], "quickstart no/such: there is no such folder"),
        (["photos", "--backbone=smal"], "Unknown backbone 'smal'. Did you mean"),
        (["photos", "--backbone=small", "--loss=margn"], "Unknown loss 'margn'"),
        (["photos", "--dataset=csv"], "quickstart has no flag --dataset"),
    ],
)
def test_wrong_commands_write_nothing(
    place: Path,
    words: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = call(capsys, *words)
    assert code == 2
    assert message in err
    assert not (place / "log").exists()


def test_what_a_server_needs_is_missed_at_once(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_MISSING", "uvicorn")
    code, _, err = call(capsys, "photos", "--backbone=small", "--dry_run")
    assert code == 2
    assert "`serve` needs the package uvicorn" in err
    words = ("photos", "--backbone=small", "--dry_run", "--noserve")
    assert call(capsys, *words)[0] == 0


def begin(place: Path, **settings: object) -> RunDirectory:
    """Leaves what a run leaves that was stopped early."""
    from dce_tf.quickstart.looking import look
    from dce_tf.reports.display import Display
    from dce_tf.runs.own_data import check_own_data

    found = look("photos")
    config = Config(
        dataset=found.dataset,
        data_dir="photos",
        dir="quickstart",
        exp="photos",
        **settings,
    )
    run = RunDirectory.of(config)
    run.prepare(config)
    check_own_data(run, found.splits, config, Display(quiet=True))
    run.write_metrics([{"epoch": -1, "stage": "untrained"}])
    return run


def test_what_a_run_was_begun_with_stays(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(place, backbone="small", num_epochs=77, loss="margin")
    code, out, _ = call(capsys, "photos", "--dry_run", "--noserve")
    assert code == 0
    assert f"Goes on with {run.path}." in out
    (train,) = [line for line in out.splitlines() if "main.py train" in line]
    assert {"--backbone=small", "--num_epochs=77", "--loss=margin"} <= {
        *shlex.split(train)
    }


def test_a_folder_that_has_changed_is_noticed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = begin(place, backbone="small")
    image = next((place / "photos").rglob("*.jpg"))
    shutil.copy(image, image.with_name("new.jpg"))
    words = ("photos", "--backbone=small", "--dry_run", "--noserve")
    code, _, err = call(capsys, *words)
    assert code == 1
    assert "photos has changed. These are not the data of the run" in err
    assert "pass --overwrite, or --exp=NAME" in err
    assert f"python main.py embed {run.path} --split=all" in err
    for way in ("--overwrite", "--exp=other"):
        assert call(capsys, *words, way)[0] == 0


def test_images_that_do_not_decode_end_it_with_the_remedy(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    next((place / "photos").rglob("*.jpg")).write_bytes(b"\xff\xd8 broken")
    code, out, _ = call(capsys, "photos", "--backbone=small", "--noserve")
    assert code == 1
    assert "Unusable: 1 of 24 images are broken" in out
    assert "Mend or remove these images, or pass a larger --max_bad_images." in out
    problems = json.loads((place / "log/quickstart/data_problems.json").read_text())
    assert len(problems["broken"]) == 1


@pytest.mark.slow
def test_a_folder_becomes_a_page(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Settings] = []
    monkeypatch.setattr(serve, "serve", served.append)
    words = ("photos", "--backbone=small", "--image_size=32", "--num_epochs=1")
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    assert "done already" not in out
    run = Path("log/quickstart/folder-K-1-M-2-exp-photos")
    (settings,) = served
    assert (settings.source, settings.index) == (run, (f"{run}/index",))
    collection = open_collection(str(run / "index"))
    assert len(collection) == 24
    collection.close()
    code, out, err = call(capsys, *words)
    assert (code, err) == (0, "")
    assert out.count("done already") == 4
    assert len(served) == 2
