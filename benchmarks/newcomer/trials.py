"""Three things that a new user wants, each tried from nothing in a place of its own."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from benchmarks.newcomer.pages import OWN_IDEA, command, program_of
from benchmarks.newcomer.photographs import list_classes, make_folder
from benchmarks.newcomer.pictures import take_board, take_search
from benchmarks.newcomer.place import Place, Running

FOUND = "newcomer-folder.png"
CURVES = "newcomer-loss.png"
SERVED = "newcomer-wheel.png"

_LONG = 3600.0  # Seconds after which nobody would wait any more.
_ADDRESS = r"(https?://\S+/)"
_BOARD = rf"^TensorBoard \S+ at {_ADDRESS}"  # It prints others, where to report.
_STEP = re.compile(r"Step \d of \d, ([^:]+):(?! done)")
_TEST_SHARE = 5  # One class in five tests, where a person sorts them by hand.


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the trials were started with.

    Attributes:
        images: A folder with a folder of photographs for each class.
        per_class: How many photographs of each class are taken.
        few: How many classes are too few to calibrate.
        query: The class of the photograph that is searched with, or None for any.
        backbone: A `.keras` file in place of the network that Keras downloads.
        pictures: Where the pictures go.
    """

    images: Path
    per_class: int
    few: int
    query: str | None
    backbone: Path | None
    pictures: Path

    def classes(self) -> dict[str, list[Path]]:
        """Returns the photographs of each class."""
        return list_classes(self.images, self.per_class)

    def photograph(self) -> Path:
        """Returns one that is in no folder of a trial."""
        classes = self.classes()
        name = self.query or list(classes)[len(classes) // 2]
        if name not in classes:
            raise ValueError(f"--query={name}: not among {', '.join(classes)}.")
        return classes[name][-1]

    def with_backbone(self, line: str) -> str:
        """Returns a command line that trains with the network that is here."""
        if self.backbone is None:
            return line
        word = f"--backbone={self.backbone.resolve()}"
        with_it = re.sub(r"--backbone=\S+", lambda _: word, line)
        return with_it if with_it != line else f"{line} {word}"


def install(place: Place) -> None:
    """Makes an environment and installs what the quick start says."""
    place.run("environment", command("environment"))
    place.run("install", command("install"), installs=True)


def try_folder(place: Place, asked: Asked) -> None:
    """From a folder of photographs to a page, with enough classes and with too few."""
    install(place)
    make_folder(asked.classes(), place.folder / "photographs", asked.per_class)
    names = list(asked.classes())[: asked.few]
    make_folder(asked.classes(), place.folder / "few", asked.per_class, names)

    few = command("quickstart", DIR="few --noserve")
    with place.start(few) as stopped:
        stopped.wait_for("^Run directory", _LONG)
    said = [line for _, line in stopped.lines if line.startswith("Stopped.")]
    what = f"too few classes, stopped as it trains: “{' '.join(said)}”"
    place.note(what, few, stopped.seconds)
    again = place.run("the same command", few)
    note_steps(place, again, again.lines[-1][0])

    line = asked.with_backbone(command("quickstart", DIR="photographs"))
    for what in ("until the page answers", "the same command a second time"):
        with place.start(line) as running:
            address = running.wait_for(_ADDRESS, _LONG)[1]
            until = running.seconds
            said = take_search(address, asked.photograph(), asked.pictures / FOUND)
            searched = running.seconds - until
        place.note(what, line, until)
        note_steps(place, running, until)
        place.note(f"search with a photograph: “{said}”", "", searched)


def note_steps(place: Place, running: Running, end: float) -> None:
    """Notes the steps that quickstart printed, and how long each took."""
    begun = [
        (moment, found[1])
        for moment, line in running.lines
        if (found := _STEP.search(line))
    ]
    ends = [*(moment for moment, _ in begun[1:]), end]
    for (moment, title), after in zip(begun, ends, strict=True):
        place.note(f"… {title}", "", after - moment)


def try_loss(place: Place, asked: Asked) -> None:
    """From an idea for a loss to its comparison with others, and its curves."""
    install(place)
    idea = program_of(OWN_IDEA, "@LOSSES.register")
    (place.folder / "my_ideas.py").write_text(idea, encoding="utf-8")
    place.run("train with it", command("try the loss"))
    place.run("compare", command("compare"))
    line = command("tensorboard")
    with place.start(line) as board:
        address = board.wait_for(_BOARD, _LONG)[1]
        place.note("TensorBoard answers", line, board.seconds)
        take_board(address, asked.pictures / CURVES)


def try_wheel(place: Place, asked: Asked) -> None:
    """From a checkout to a wheel, and from there to a collection that is served."""
    place.run("environment", command("environment"))
    place.run("build the wheel", command("build"), installs=True)
    place.run("install the wheel", command("install wheel"), installs=True)
    elsewhere = Place(place.folder / "elsewhere", place.trial, with_checkout=False)
    elsewhere.log = place.log
    (elsewhere.folder / ".venv").symlink_to("../.venv")
    elsewhere.run("version", command("version"))
    run = _train_elsewhere(elsewhere, asked)
    _serve_elsewhere(elsewhere, asked, run)
    place.steps += elsewhere.steps


def _train_elsewhere(place: Place, asked: Asked) -> str:
    """Goes through the tutorial on a folder, by the installed program."""
    classes = list(asked.classes())
    for part, names in (
        ("test", classes[::_TEST_SHARE]),
        ("train", [each for i, each in enumerate(classes) if i % _TEST_SHARE]),
    ):
        target = place.folder / "photographs" / part
        make_folder(asked.classes(), target, asked.per_class, names)

    def installed(name: str, **filled: object) -> str:
        return command(name, **filled).replace("python main.py", "dce-tf")

    place.run("look at the data", installed("look"))
    training = place.run("train", asked.with_backbone(installed("train")))
    run = re.search(r"^Run directory: (\S+)", training.text, re.MULTILINE)
    if run is None:
        raise ValueError("Training printed no `Run directory: …`.")
    place.run("calibrate", installed("calibrate", RUN=run[1]))
    return run[1]


def _serve_elsewhere(place: Place, asked: Asked, run: str) -> None:
    """Goes through the tutorial on deployment."""
    place.run("export", command("export", RUN=run))
    line = command("embed", RUN=run)
    photographs = str(place.folder / "photographs")
    place.run("embed", line.replace("/data/photographs", photographs))
    place.run("index", command("index", RUN=run))
    place.run("certificate", command("certificate"))
    (place.folder / "photo.jpg").write_bytes(asked.photograph().read_bytes())
    token = secrets.token_hex()
    (place.folder / "token").write_text(token, encoding="utf-8")
    with_token = "export DCE_TF_TOKEN=$(cat token)\n"
    line = command("serve", RUN=run)
    with place.start(with_token + line) as server:
        server.wait_for(r"https://", _LONG)
        place.note("serve", line, server.seconds)
        place.run("ask what is served", with_token + command("ready"))
        place.run("search", with_token + command("ask"))
        address = "https://localhost:8501/"
        photograph = place.folder / "photo.jpg"
        take_search(address, photograph, asked.pictures / SERVED, token)


TRIALS: dict[str, Callable[[Place, Asked], None]] = {
    "folder": try_folder,
    "loss": try_loss,
    "wheel": try_wheel,
}
