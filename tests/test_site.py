"""The documentation builds as a site: no dead link, nothing missing, nothing remote."""

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import dce_tf
from dce_tf.commands.finding import command_names, flags_of

ROOT = Path(__file__).parents[1]
VALUES = "dce_tf/record/values.py"  # A page links to it.
NAMES = [name for name in dce_tf.__all__ if name != "__version__"]
pytestmark = pytest.mark.slow


def build(folder: Path, config: Path = ROOT / "mkdocs.yml") -> str:
    """Builds the site; returns what is wrong with it."""
    words = ["build", "--strict", "--config-file", str(config), "--site-dir", folder]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert build(folder) == ""
    return folder


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_flag_has_a_place(site: Path) -> None:
    for name in command_names():
        values = flags.FlagValues()
        flags_of(name).define_flags(values)
        told = text_of(site / "flags" / f"{name}.html")
        for flag in values:
            if not values[flag].help.startswith("Alias for --"):
                assert f"--{flag}" in told, f"{name} --{flag}"


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_its_docstring(name: str, site: Path) -> None:
    page = site / "names" / f"{name}.html"
    assert f'id="dce_tf.{name}"' in page.read_text(encoding="utf-8")
    first = re.findall(r"\w+", (getattr(dce_tf, name).__doc__ or "").split("\n\n")[0])
    assert " ".join(first) in " ".join(re.findall(r"\w+", text_of(page)))


def test_names_in_the_table_are_links(site: Path) -> None:
    page = (site / "python.html").read_text(encoding="utf-8")
    for name in NAMES:
        assert f'href="names/{name}.html"' in page


def test_everything_can_be_searched(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {page.relative_to(site).as_posix() for page in site.rglob("*.html")}
    assert pages - found <= {"404.html"}


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(https?:)?//"
        r"|<link\b(?![^>]*\brel=\"?(?:canonical|alternate))[^>]*\bhref=\"?(https?:)?//"
    )
    for page in site.rglob("*.html"):
        assert not loaded.search(page.read_text(encoding="utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\W*https?:", sheet.read_text()), sheet


def test_dead_links_fail_the_build(tmp_path: Path) -> None:
    for name in ("docs", "examples", "launch", "serving"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in (*ROOT.glob("*.md"), ROOT / "mkdocs.yml", ROOT / VALUES):
        (tmp_path / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    dead = ("none.md", "concepts.md#none", "../none.py")
    with (tmp_path / "docs" / "gpu.md").open("a", encoding="utf-8") as file:
        file.writelines(f"\n[dead]({link})\n" for link in dead)
    complaints = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    for told in ("'none.md'", "'#none'", "none.py'"):
        assert told in complaints
