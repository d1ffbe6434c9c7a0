"""The README and the pages of docs/ do what they say."""

import ast
import re
import shlex
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from dce_tf import cli
from dce_tf.datasets.folder import read_folder
from tests import fakes
from tests.network.backbones.test_resnet50 import make_tensors

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("**/*.md")))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_is_short_with_two_pictures_and_links_to_every_page() -> None:
    assert len(README.splitlines()) <= 150
    assert README.count("![") == 2
    linked = set(re.findall(r"\]\(([^)#]+)", README))
    shown = {path.relative_to(ROOT).as_posix() for path in PAGES[1:]}
    # It is a report for others, which the pages that it concerns link to.
    assert shown - linked == {"docs/upstream-webp.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub("```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_ci_runs_the_test_command() -> None:
    command = re.search(r"pip install .*&& python -m pytest", README).group()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for part in command.removeprefix("pip install ").split(" && "):
        assert part in script


@pytest.mark.slow
def test_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = python_blocks(README)
    assert len([line for line in example.splitlines() if line]) == 12
    fakes.write_folder(tmp_path, num_classes=6, images_per_class=8)
    monkeypatch.chdir(tmp_path)
    exec(example.replace("DIR", str(tmp_path)), {})
    assert (tmp_path / "model.keras").is_file()


@pytest.mark.slow
def test_examples_of_the_page_on_python_run(tmp_path: Path) -> None:
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    fakes.write_folder(tmp_path, num_classes=6, images_per_class=8)
    space: dict = {}
    for block in python_blocks(page):
        exec(block.replace("DIR", str(tmp_path)), space)
    assert len(space["loss"].trainable_variables) == 1
    images = np.zeros((8, 64, 64, 3), np.float32)
    labels = np.repeat(np.arange(4), 2)[:, None]
    for model in (space["plain"], space["trained"]):
        model.fit(images, labels, batch_size=8, verbose=0)


@pytest.mark.slow
def test_example_of_the_page_on_distillation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = python_blocks((DOCS / "distillation.md").read_text(encoding="utf-8"))
    fakes.write_folder(tmp_path, num_classes=6, images_per_class=8)
    monkeypatch.chdir(tmp_path)
    count = len(read_folder(str(tmp_path)).train)
    vectors = np.random.default_rng(0).normal(size=(count, 96)).astype(np.float32)
    np.save("vectors.npy", vectors)
    space: dict = {}
    exec(block.replace("DIR", str(tmp_path)), space)
    assert len(space["model"].history.epoch) == 4


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)


def commands_to_evaluate() -> list[str]:
    """Returns the command lines of the page, then a run's with each option of it."""
    text = (DOCS / "evaluate.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    python main.py (.*)$", text, flags=re.MULTILINE)
    lines += re.findall(r"`python main.py (import .*?)`", text)
    table = text.split("| option |")[1].split("| metric |")[0]
    lines += [f"evaluate RUN {option}" for option in re.findall(r"`(--.*?)`", table)]
    lines += [
        f"evaluate embeddings.npy --labels=labels.txt {option}"
        for option in re.findall(r"`(--metric=.*?)`", text)
    ]
    return [line.split(" #")[0].strip() for line in lines]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything lies that the page's command lines name."""
    root = tmp_path_factory.mktemp("place")
    fakes.write_whale(root / "whales", num_classes=16)
    words = "train --dataset=whale --backbone=small --image_size=32 --embedding_dim=16"
    words += " --num_clusters=2 --num_epochs=4 --full_embedding_epoch=2"
    words += " --finetune_epoch=3 --batch_size=16 --val_fraction=0.3"
    words += f" --allow_partial_data --data_dir={root / 'whales'}"
    assert cli.main([*words.split(), f"--log_dir={root / 'log'}"]) == 0
    (config,) = root.glob("log/default/*/config.json")
    (root / "RUN").symlink_to(config.parent)
    (root / "SAVED_MODEL").symlink_to(config.parent / "export")
    fakes.write_csv(root / "DIR")
    fakes.write_sop(root / "DIR")
    inputs = keras.Input((None, None, 3))
    keras.Model(inputs, keras.layers.Conv2D(4, 8, 8)(inputs)).save(root / "model.keras")
    rng = np.random.default_rng(0)
    np.save(root / "embeddings.npy", rng.normal(size=(20, 8)))
    (root / "labels.txt").write_text("ant\nbee\n" * 10)
    parts = {"embedding.weight": (8, 2048), "embedding.bias": (8,)}
    tensors = {name: rng.normal(0, 0.02, shape) for name, shape in parts.items()}
    arrays = {k: v.astype(np.float32) for k, v in tensors.items()} | make_tensors()
    save_file(arrays, root / "FILE.safetensors")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("line", commands_to_evaluate())
def test_commands_of_evaluate_anything_run(
    place: Path, line: str, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(place)
    # A .pt needs PyTorch; the same tensors lie here without it.
    words = shlex.split(line.replace("FILE.pt", "FILE.safetensors"))
    # The tree is tiny, and whoever evaluates the real one has all of it.
    partial = ["--allow_partial_data"] if "--dataset=sop" in words else []
    written = Path(
        "FILE.keras"
        if words[0] == "import"
        else Path("RUN" if "RUN" in words[1] else ".") / "evaluation.json"
    )
    written.unlink(missing_ok=True)
    assert cli.main([*words, *partial]) == 0, capsys.readouterr().err
    assert written.is_file()


def test_commands_of_evaluate_anything_are_found() -> None:
    lines = commands_to_evaluate()
    assert len(lines) >= 12
    assert sum("RUN --rerank" in line for line in lines) == 5


def test_every_flag_named_exists() -> None:
    from absl import flags

    from dce_tf import cli

    known = {"help", "version", "flagfile", "csv", "logdir", "slow"}
    for name in cli.command_names():
        values = flags.FlagValues()
        cli.flags_of(name).define_flags(values)
        known |= set(values)
    programs = (
        "dce_tf/serving/client/commands.py",
        "benchmarks/**/*.py",
        "launch/*.py",
    )
    for program in (path for glob in programs for path in ROOT.glob(glob)):
        known |= set(re.findall(r'"--([a-z_]+)"', program.read_text(encoding="utf-8")))
    named = {
        name.replace("-", "_")
        for page in PAGES
        for name in re.findall(r"--([a-z][a-z_-]+)", page.read_text(encoding="utf-8"))
    }
    # Flags of git, pip and the like do not occur.
    assert {name for name in named if name.removeprefix("no") not in known} <= known


def told_messages() -> list[str]:
    """Returns the messages that the page on troubleshooting explains."""
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    return [text.strip("` ") for text in re.findall(r"^\*\*(`.*?`)\*\*", page, re.M)]


def test_messages_to_explain_are_found() -> None:
    assert len(told_messages()) >= 30


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Every text in the program, with … for what is filled in."""
    found = []
    for path in (ROOT / "dce_tf").glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                ]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


@pytest.mark.parametrize("message", told_messages())
def test_messages_that_are_explained_are_those_of_the_program(
    message: str, texts: list[str]
) -> None:
    words = ".*".join(re.escape(part) for part in message.split("…"))
    assert any(re.search(words, text, flags=re.DOTALL) for text in texts)
