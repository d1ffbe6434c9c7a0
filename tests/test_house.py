"""The shape of the package: imports point down, and nobody reads FLAGS."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dce_tf"

FLOORS = {
    "errors": 0,
    "ahead": 0,
    "registry": 0,
    "config": 0,
    "files": 0,
    "gifs": 0,
    "remote": 0,
    "profiles": 1,
    "faiss_backend": 0,
    "run_directory": 1,
    "datasets": 1,
    "clustering": 1,
    "sampling": 1,
    "distances": 1,
    "bitmaps": 1,
    "torch_weights": 1,
    "exif": 1,
    "upright": 1,
    "pictures": 1,
    "images": 2,
    "augmentation": 2,
    "layers": 2,
    "miners": 2,
    "backbones": 2,
    "retrieval": 2,
    "scan": 3,
    "image_cache": 4,
    "pipelines": 3,
    "losses": 3,
    "model": 3,
    "devices": 4,
    "reports": 4,
    "training": 4,
    "index": 4,
    "export": 5,
    "runs": 6,
    "commands": 7,
    "cli": 8,
}
NUMPY_ONLY = ("datasets", "clustering", "retrieval", "sampling", "index")
FILES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.parent != PACKAGE or path.stem != "__init__"
)


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def own(names: set[str]) -> set[str]:
    known = {module(path) for path in FILES}
    found = set()
    for name in names:
        while name and name not in known:
            name = name.rpartition(".")[0]
        found |= {name} if name else set()
    return found


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_never_point_up(path: Path) -> None:
    floor = FLOORS[module(path).split(".")[1]]
    for name in own(imported(path)):
        assert FLOORS[name.split(".")[1]] <= floor, f"{module(path)} imports {name}"


def test_no_two_files_import_each_other() -> None:
    # A package's __init__ holds its registry: entries import it, it finds them by name.
    files = [path for path in FILES if path.name != "__init__.py"]
    edges = {module(path): own(imported(path)) for path in files}
    loops = [
        (one, other)
        for one, others in edges.items()
        for other in others
        if other != one and one in edges.get(other, ())
    ]
    assert loops == []


@pytest.mark.parametrize("path", FILES, ids=module)
def test_data_and_metrics_need_no_tensorflow(path: Path) -> None:
    if module(path).split(".")[1] in NUMPY_ONLY:
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"tensorflow", "keras"}


@pytest.mark.parametrize("path", FILES, ids=module)
def test_global_flags_are_never_read(path: Path) -> None:
    assert "flags.FLAGS" not in path.read_text(encoding="utf-8")
