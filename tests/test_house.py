"""The shape of the package: imports point down, and nobody reads FLAGS."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dce_tf"

FLOORS = {
    "base": 0,
    "batch": 0,
    "config": 1,
    "images": 1,
    "clustering": 1,
    "sampling": 1,
    "miners": 1,
    "record": 2,
    "datasets": 2,
    "losses": 2,
    "index": 2,
    "network": 3,
    "retrieval": 3,
    "reports": 3,
    "callbacks": 3,
    "evaluation": 4,
    "doctor": 4,
    "export": 4,
    "training": 5,
    "hub": 5,
    "runs": 6,
    "embedding": 7,
    "quickstart": 7,
    "sweep": 7,
    "commands": 8,
    "cli": 9,
    # What serves stands on export and index; `commands` starts it.
    "serving.client": 0,
    "serving.errors": 4.1,
    "serving.metrics": 4.1,
    "serving.browser": 4.1,
    "serving.limits": 4.2,
    "serving.observing": 4.2,
    "serving.memory": 4.25,
    "serving.reading": 4.26,
    "serving.model": 4.3,
    "serving.http": 4.4,
    "serving.grpc": 4.5,
    "serving.search": 4.5,
    "serving.settings": 4.5,
    "serving.app": 4.6,
    "serving.lifetime": 4.7,
    "serving.server": 4.8,
}
NUMPY_ONLY = ("datasets", "clustering", "retrieval", "sampling", "index")
FILES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.stem != "__init__" or path.parent not in (PACKAGE, PACKAGE / "serving")
)


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(name: str) -> str:
    """Returns the room of a module: `training`, or `serving.http`."""
    parts = name.split(".")[1:]
    return ".".join(parts[: 2 if parts[0] == "serving" else 1])


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
    floor = FLOORS[room(module(path))]
    for name in own(imported(path)):
        assert FLOORS[room(name)] <= floor, f"{module(path)} imports {name}"


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


def defined(path: Path) -> set[str]:
    """Returns what a file defines, except what a decorator files or replaces."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names |= set() if node.decorator_list else {node.name}
        elif isinstance(node, ast.Assign):
            names |= {each.id for each in node.targets if isinstance(each, ast.Name)}
    return {name for name in names if not name.startswith("__")}


def used(path: Path) -> set[str]:
    """Returns the names a file reads, imports, or has as text, such as `__all__`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names


def test_nothing_is_kept_for_tests_alone() -> None:
    root = PACKAGE.parent
    folders = ("dce_tf", "benchmarks", "launch", "examples")
    programs = [path for name in folders for path in (root / name).rglob("*.py")]
    pages = [*root.glob("*.md"), *(root / "docs").glob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    known = {name for path in programs for name in used(path)}
    unused = {
        f"{path.relative_to(root)}: {name}"
        for path in programs
        if path.is_relative_to(PACKAGE)
        for name in defined(path) - known
        # A command's entry points are found by their names.
        if name not in ("define_flags", "run") and name not in text
    }
    assert unused == set()
