"""Which tests `python -m pytest` leaves out, so that it takes minutes.

Named in longer.txt: files, and functions of others. They run with `--all`, with
`--slow`, and where a folder, a file or a test is asked for by name. To make the list
again on a machine with nothing else to do, which takes a quarter of an hour:

    python -m pytest --all --times=TIMES -n 2 --dist loadfile --no-loadscope-reorder
    python -m tests.longer TIMES
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIST = Path(__file__).with_suffix(".txt")
MOST_SECONDS = 0.15  # Of a test itself, and of what others share with it.
MOST_SHARED = 0.5
WORST_FILE = 4.0  # Seconds of what is left of a file.


def add_options(parser: pytest.Parser) -> None:
    """Adds what chooses how much is run."""
    parser.addoption("--all", action="store_true", help="run all but the slow tests")
    parser.addoption("--times", type=Path, help="folder for how long all took")
    parser.addoption("--quick", action="store_true", help="leave the longer tests out")


def pytest_configure(config: pytest.Config) -> None:
    """Decides what is left out; processes of pytest-xdist are told."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    all_of_them = any(config.getoption(name) for name in ("--all", "--slow"))
    if not hasattr(config, "workerinput") and not named and not all_of_them:
        config.option.quick = True
    if config.getoption("--times"):
        config.pluginmanager.register(Times(config.getoption("--times")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Does not even import a file of which nothing runs."""
    if not config.getoption("--quick") or collection_path.suffix != ".py":
        return None
    name = collection_path.relative_to(config.rootpath).as_posix()
    return True if name in read_list() else None


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes the longer tests out of those that are to run."""
    if not config.getoption("--quick"):
        return
    left_out = read_list()
    longer = [item for item in items if function_of(item.nodeid) in left_out]
    config.hook.pytest_deselected(items=longer)
    items[:] = [item for item in items if function_of(item.nodeid) not in left_out]


def read_list() -> set[str]:
    """Returns the files and functions that are named in the list."""
    return set(LIST.read_text(encoding="utf-8").split())


def function_of(nodeid: str) -> str:
    """Returns the function of a test without its parameters."""
    return nodeid.partition("[")[0]


class Times:
    """Writes down how long tests, and what they share, took.

    Args:
        folder: Gets a file of JSON lines for each process.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = os.environ.get("PYTEST_XDIST_WORKER", "main")
        self._file = (folder / f"{name}.jsonl").open("w", encoding="utf-8")
        self._inner: list[float] = []

    def _write(self, **facts: Any) -> None:
        print(json.dumps(facts), file=self._file, flush=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Times a whole test, with what it set up first."""
        started = time.perf_counter()
        self._inner.append(0.0)
        result = yield
        seconds = time.perf_counter() - started - self._inner.pop()
        names = [_name(item, each) for each in item.fixturenames]
        self._write(test=item.nodeid, seconds=seconds, uses=names)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Iterator[None]:
        """Times what several tests share, without what it uses itself."""
        if fixturedef.scope == "function":
            return (yield)
        started = time.perf_counter()
        self._inner.append(0.0)
        result = yield
        total = time.perf_counter() - started
        self._write(
            shared=f"{fixturedef.baseid}:{fixturedef.argname}",
            seconds=total - self._inner.pop(),
        )
        self._inner[-1] += total
        return result


def _name(item: pytest.Item, fixture: str) -> str:
    """Returns the name of a fixture with where it is defined, as in `Times`."""
    found = item.session._fixturemanager.getfixturedefs(fixture, item)
    return f"{found[-1].baseid}:{fixture}" if found else fixture


@dataclasses.dataclass
class Function:
    """A test function, with all its parameters.

    Attributes:
        seconds: Of all of its tests.
        most: Of the longest one.
        uses: What it shares with others.
    """

    seconds: float = 0.0
    most: float = 0.0
    uses: set[str] = dataclasses.field(default_factory=set)


def read_times(folder: Path) -> tuple[dict[str, Function], dict[str, float]]:
    """Returns the functions by name, and the seconds of what is shared."""
    functions: dict[str, Function] = collections.defaultdict(Function)
    shared: dict[str, float] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            facts = json.loads(line)
            if "shared" in facts:
                name = facts["shared"]
                shared[name] = max(shared.get(name, 0.0), facts["seconds"])
                continue
            function = functions[function_of(facts["test"])]
            function.seconds += facts["seconds"]
            function.most = max(function.most, facts["seconds"])
            function.uses |= set(facts["uses"])
    return dict(functions), shared


def choose(functions: dict[str, Function], shared: dict[str, float]) -> list[str]:
    """Returns what the list is to name: whole files, or functions of them."""
    by_file: dict[str, list[str]] = collections.defaultdict(list)
    for name in functions:
        by_file[name.partition("::")[0]].append(name)
    chosen: list[str] = []
    for file, names in sorted(by_file.items()):
        longer = {name for name in names if _is_longer(functions[name], shared)}
        left = [name for name in names if name not in longer]
        # The longest first, until the file is short enough.
        for name in sorted(left, key=lambda each: -functions[each].seconds):
            if _seconds(left, functions, shared) <= WORST_FILE:
                break
            left.remove(name)
            longer.add(name)
        chosen += [file] if not left else sorted(longer)
    return chosen


def _is_longer(function: Function, shared: dict[str, float]) -> bool:
    together = sum(shared.get(name, 0.0) for name in function.uses)
    return function.most > MOST_SECONDS or together > MOST_SHARED


def _seconds(
    names: list[str], functions: dict[str, Function], shared: dict[str, float]
) -> float:
    uses = {each for name in names for each in functions[name].uses}
    own = sum(functions[name].seconds for name in names)
    return own + sum(shared.get(each, 0.0) for each in uses)


def main(folder: Path) -> None:
    """Writes the list from times that were written down."""
    functions, shared = read_times(folder)
    chosen = choose(functions, shared)
    LIST.write_text("".join(f"{name}\n" for name in chosen), encoding="utf-8")
    names = set(chosen)
    left = [
        name
        for name in functions
        if name not in names and name.partition("::")[0] not in names
    ]
    total = _seconds(list(functions), functions, shared)
    print(
        f"{len(left)} of {len(functions)} functions are left, "
        f"{_seconds(left, functions, shared):.0f} of {total:.0f} seconds."
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
