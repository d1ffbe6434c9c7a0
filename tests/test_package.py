"""The wheel and the sdist, as users get them."""

import contextlib
import dataclasses
import json
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import urllib.request
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import pytest

import dce_tf
from tests import fakes

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(
    ".*", "build", "dist", "log", "*.egg-info", "__pycache__"
)


@dataclasses.dataclass
class Installed:
    """The installed program, run in a folder far from the checkout."""

    program: Path
    folder: Path

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *map(str, words)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    @contextlib.contextmanager
    def serve(self, *words: object) -> Iterator[str]:
        """Serves, and gives the address."""
        server = subprocess.Popen(
            [self.program, "serve", *map(str, words), "--port=0"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            found = re.search("http://[^/]+", server.stdout.readline())
            assert found is not None
            yield found.group()
        finally:
            server.terminate()
            server.wait(60)
            server.stdout.close()


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    # A copy, as setuptools would take files of an older build from `build`.
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=NOT_SOURCE)
    subprocess.run(
        [sys.executable, "-m", "build", source, "--outdir", folder],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def dce(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in a new environment."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    home = elsewhere / "environment"
    venv.create(home, with_pip=True)
    (packages,) = home.glob("lib/python*/site-packages")
    # What it needs is installed outside, and found there.
    outside = {sysconfig.get_paths()[each] for each in ("purelib", "platlib")}
    (packages / "outside.pth").write_text("\n".join(outside))
    subprocess.run(
        [home / "bin/pip", "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
    )

    return Installed(home / "bin/dce-tf", elsewhere)


@pytest.mark.parametrize(
    ("repository", "shown"),
    [
        (
            "https://example.com/dce_tf/",
            "![The method](https://example.com/dce_tf/raw/main/docs/method.svg), "
            "[data](https://example.com/dce_tf/blob/main/docs/data.md#a), "
            "[Keras](https://keras.io) [below](#b)",
        ),
        (None, "*The method*, data, [Keras](https://keras.io) [below](#b)"),
    ],
)
def test_readme_of_an_index_has_no_relative_links(
    repository: str | None, shown: str
) -> None:
    describe = runpy.run_path(str(ROOT / "setup.py"))["describe"]
    readme = (
        "![The method](docs/method.svg), [data](docs/data.md#a), "
        "[Keras](https://keras.io) [below](#b)"
    )
    assert describe(readme, repository) == shown


@pytest.mark.slow
def test_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "dce_tf"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    held = set(zipfile.ZipFile(wheel).namelist())
    assert set(tracked.stdout.splitlines()) - held == set()
    assert "dce_tf/serving/page/index.html" in held
    assert "dce_tf/doctor/assets/report.html" in held
    assert "dce_tf/recipes/glyphs.flags" in held
    assert {name.split("/")[0] for name in held} == {
        "dce_tf",
        f"dce_tf-{dce_tf.__version__}.dist-info",
    }


@pytest.mark.slow
def test_metadata_is_what_an_index_can_show(wheel: Path, dist: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        (name,) = (each for each in file.namelist() if each.endswith("/METADATA"))
        text = file.read(name).decode()
    about = Parser().parsestr(text)
    assert about["Version"] == dce_tf.__version__
    assert about["License-Expression"] == "Apache-2.0 AND MIT"
    assert about["Description-Content-Type"] == "text/markdown"
    versions = {each for each in about.get_all("Classifier") if ":: 3." in each}
    assert {each.rpartition(" ")[2] for each in versions} == {"3.11", "3.12", "3.13"}
    description = about.get_payload()
    assert "# dce_tf: divide and conquer the embedding space" in description
    targets = re.findall(r"\]\(([^)]+)\)", description)
    assert [each for each in targets if not re.match(r"https?://|#", each)] == []
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        held = {each.partition("/")[2] for each in file.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= held


@pytest.mark.slow
def test_installed_program_has_its_own_name(dce: Installed) -> None:
    assert dce.run("--version").stdout == f"dce-tf {dce_tf.__version__}\n"
    assert dce.run("--help").stdout.startswith("Usage: dce-tf [COMMAND]")
    for command in ("train", "sweep"):
        told = dce.run(command, "--help").stdout
        assert told.startswith(f"dce-tf {command} [")
        assert "main.py" not in told
    refused = dce.run("serve", "nothing")
    assert refused.returncode == 1
    assert "dce-tf export RUN" in refused.stderr
    recipe = dce.run("--profile=paper2019", "--dataset=cub", "--data_dir=nothing")
    assert "nothing" in recipe.stderr


@pytest.mark.slow
def test_installed_program_goes_from_a_folder_to_a_page(
    dce: Installed, tmp_path: Path
) -> None:
    fakes.write_folder(tmp_path / "photos", num_classes=6, images_per_class=8)
    words = (
        "train --dataset=folder --backbone=small --image_size=32 --embedding_dim=8 "
        "--num_clusters=1 --num_epochs=1 --batch_size=8 --val_fraction=0.3"
    )
    trained = dce.run(
        *words.split(), f"--data_dir={tmp_path / 'photos'}", f"--log_dir={tmp_path}"
    )
    assert trained.returncode == 0, trained.stderr
    assert "dce-tf evaluate --run=" in trained.stdout
    (run,) = (path.parent for path in tmp_path.glob("*/*/report.json"))
    report = json.loads((run / "report.json").read_text())
    assert report["environment"]["dce-tf"] == dce_tf.__version__
    for step in (("embed", run), ("index", run / "embeddings")):
        done = dce.run(*step)
        assert done.returncode == 0, done.stderr
    assert f"dce-tf search {run}/index" in done.stdout
    with dce.serve(run, f"--index={run / 'index'}") as address:
        for path in ("/", "/page/app.js", "/v1/collections/index"):
            with urllib.request.urlopen(address + path) as answer:
                assert answer.status == 200
