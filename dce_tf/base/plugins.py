"""Ideas from outside: code of the user that registers what flags can then name."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import foreign_entries, suggest

GROUP = "dce_tf.plugins"
"""The group of entry points under which an installed package names its plugins."""

_loaded: set[str] = set()


def load_plugins(spec: str | None) -> None:
    """Imports plugins, so that what they register can be named; each of them once.

    Args:
        spec: Files (`my_losses.py`), names of entry points in `GROUP`, and names of
            modules, with commas between them.

    Raises:
        UsageError: If one is not there, does not import, registers nothing, or
            registers a name that is taken.
    """
    for item in items_of(spec):
        key = str(Path(item).resolve()) if _is_file(item) else item
        if key not in _loaded:
            _load(item)
            _loaded.add(key)


def items_of(spec: str | None) -> list[str]:
    """Returns the plugins that `--plugin` names, one by one."""
    return [part.strip() for part in (spec or "").split(",") if part.strip()]


def names_of(spec: str | None) -> list[str]:
    """Returns their names: those of files without folder and ending."""
    return sorted(
        Path(item).stem if _is_file(item) else item for item in items_of(spec)
    )


def installed_plugins() -> dict[str, str]:
    """Returns the name and the module of every entry point in `GROUP`."""
    found = importlib.metadata.entry_points(group=GROUP)
    return {point.name: point.value for point in found}


def _is_file(item: str) -> bool:
    return item.endswith(".py") or "/" in item


def _load(item: str) -> None:
    entries, objects = foreign_entries(), _custom_objects()
    name = Path(item).stem if _is_file(item) else _module_of(item)
    with _explained(item), _undone_on_failure(name):
        if _is_file(item):
            _import_file(Path(item))
        else:
            _import_module(item, name)
        new = foreign_entries() - entries or _custom_objects() - objects
        # Somebody may have imported it before.
        if not new and not any(
            _belongs(registry.origin(entry), name)
            for registry, entry in foreign_entries()
        ):
            raise UsageError(
                f"--plugin={item} registers nothing. Put a registry's decorator before "
                'what it defines, such as @LOSSES.register("my_loss") with '
                "`from dce_tf.losses import LOSSES`, or leave the flag out."
            )


def _belongs(module: str | None, plugin: str) -> bool:
    """Returns whether a module is a plugin's or lies in it."""
    return module is not None and (module == plugin or module.startswith(f"{plugin}."))


def _custom_objects() -> set[str]:
    """Returns the classes registered for Keras's files, but for this package's own."""
    keras: Any = sys.modules.get("keras")
    objects = keras.saving.get_custom_objects() if keras is not None else {}
    return {name for name in objects if not name.startswith("dce_tf>")}


def _import_file(path: Path) -> None:
    if not path.is_file():
        raise UsageError(
            f"--plugin={path}: there is no such file in {Path.cwd()}. Give its path; a "
            "run remembers the one that it was trained with."
        )
    name = path.stem
    there = sys.modules.get(name)
    spec = there.__spec__ if there is not None else importlib.util.find_spec(name)
    if not name.isidentifier() or (spec is not None and _elsewhere(spec, path)):
        raise UsageError(
            f"--plugin={path}: there is another module {name!r}, or it is no name of a "
            "module. Rename the file."
        )
    if there is not None:
        return
    # Its neighbours can be imported, too; they shadow nothing.
    sys.path.append(str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"--plugin={path}: expected a file of Python, such as x.py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _elsewhere(spec: Any, path: Path) -> bool:
    return spec.origin is None or Path(spec.origin).resolve() != path.resolve()


def _module_of(item: str) -> str:
    return installed_plugins().get(item, item).partition(":")[0]


def _import_module(item: str, module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        known = installed_plugins()
        raise UsageError(
            f"--plugin={item} is no file, as {item}.py would be, no module that Python "
            f"finds, and no entry point of {GROUP}.{suggest(item, known)} "
            f"Entry points here: {', '.join(known) or 'none'}."
        ) from error


@contextlib.contextmanager
def _explained(item: str) -> Iterator[None]:
    """Says which plugin failed, where, and what to do."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        file, line = last.filename, last.lineno
        if isinstance(error, SyntaxError):
            file, line = error.filename or file, error.lineno
        raise UsageError(
            f"--plugin={item} does not import: {error} ({type(error).__name__}; "
            f"{Path(file).name}, line {line}). Mend it, or leave the flag out."
        ) from error


@contextlib.contextmanager
def _undone_on_failure(name: str) -> Iterator[None]:
    """Forgets the module and the entries of a plugin that failed, for another try."""
    entries, modules = foreign_entries(), set(sys.modules)
    try:
        yield
    except BaseException:
        for registry, entry in foreign_entries() - entries:
            registry.forget(entry)
        for module in set(sys.modules) - modules:
            if _belongs(module, name):
                del sys.modules[module]
        raise
