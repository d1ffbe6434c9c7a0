"""Named factories: how a flag such as `--loss="margin(beta=1.2)"` finds its code.

Importing a package does not register what its files define, so each extension
package calls `import_siblings` once; adding a file is then the whole change.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import inspect
import math
import pkgutil
import re
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from dce_tf.base.errors import UsageError

_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

P = ParamSpec("P")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class _Source:
    """What registered an entry: a module, and the file of its code."""

    module: str
    file: str

    def gives_way_to(self, other: _Source) -> bool:
        """Returns whether the other one is the same code again.

        A script may be loaded as a plugin, too, and a cell of a notebook be run again.
        """
        if self.module != "__main__":
            return False
        if other.module == "__main__":
            return not Path(self.file).is_file()  # Cells have no file.
        return self.file == other.file


class Registry(Generic[T]):
    """A name-to-factory table for one kind of thing.

    Args:
        kind: What the entries are, in the singular; used in error messages.
        context: Parameters of a factory that the program fills in. They are no
            options: a user cannot type them.
    """

    def __init__(self, kind: str, context: Iterable[str] = ()) -> None:
        self.kind = kind
        self._context = frozenset(context)
        self._factories: dict[str, Callable[..., T]] = {}
        self._sources: dict[str, _Source] = {}
        self._grammars: dict[str, Callable[[str], dict[str, Any]]] = {}
        _REGISTRIES.add(self)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._factories))

    def __contains__(self, name: str) -> bool:
        return name in self._factories

    def register(
        self, name: str, grammar: Callable[[str], dict[str, Any]] | None = None
    ) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Returns a decorator that files a factory under `name`.

        Args:
            name: What a user types.
            grammar: Reads a whole spec, and returns the options of the factory or
                raises a `UsageError`, for an entry whose parentheses hold something
                else than `option=literal`.

        Raises:
            ValueError: If `name` is taken.
        """

        def decorate(factory: Callable[P, T]) -> Callable[P, T]:
            frame = sys._getframe(1)
            source = _Source(
                frame.f_globals.get("__name__", ""), frame.f_code.co_filename
            )
            there = self._sources.get(name)
            if there is not None and not there.gives_way_to(source):
                raise ValueError(
                    f"{self.kind} {name!r} is registered twice, by {there.module} and "
                    f"by {source.module}. Choose another name."
                )
            self._factories[name], self._sources[name] = factory, source
            if grammar is not None:
                self._grammars[name] = grammar
            return factory

        return decorate

    def origin(self, name: str) -> str | None:
        """Returns the module outside this package that registered an entry, if any."""
        module = self._sources[name].module
        own = __name__.partition(".")[0]
        return None if module.partition(".")[0] == own else module

    def forget(self, name: str) -> None:
        """Removes an entry."""
        del self._factories[name], self._sources[name]
        self._grammars.pop(name, None)

    def factory(self, name: str) -> Callable[..., T]:
        """Returns what builds an entry."""
        return self._factories[name]

    def has_grammar(self, name: str) -> bool:
        """Returns whether an entry reads its parentheses in a way of its own."""
        return name in self._grammars

    def options(self, name: str) -> dict[str, Any]:
        """Returns the options of an entry, with their defaults."""
        parameters = inspect.signature(self._factories[name]).parameters
        return {
            name: parameter.default
            for name, parameter in parameters.items()
            if name not in self._context and parameter.kind not in _VARIABLE
        }

    def check(self, spec: str) -> tuple[str, dict[str, Any]]:
        """Parses `spec` and checks it against the table, building nothing.

        Args:
            spec: `"name"` or `"name(option=literal, ...)"`; what an entry with a
                grammar of its own takes.

        Returns:
            The entry's name and the options given.

        Raises:
            UsageError: If the name is unknown, or an option is not one the
                factory takes.
        """
        begins = spec.partition("(")[0].strip()
        if begins in self._grammars:
            return begins, self._grammars[begins](spec)
        name, options = parse_spec(spec)
        if name not in self._factories:
            raise UsageError(
                f"Unknown {self.kind} {name!r}.{suggest(name, self)} "
                f"Known: {', '.join(self)}. One of your own comes with --plugin."
            )
        allowed = self.options(name)
        for option in options:
            if option not in allowed:
                raise UsageError(
                    f"{self.kind} {name!r} has no option {option!r}."
                    f"{suggest(option, allowed)} "
                    f"Options: {', '.join(allowed) or 'none'}."
                )
        return name, options

    def build(self, spec: str, **context: Any) -> T:
        """Builds the entry that `spec` names.

        Args:
            spec: `"name"` or `"name(option=literal, ...)"`.
            **context: Values the program knows; a factory is given those it has a
                parameter for. What `spec` says wins.

        Raises:
            UsageError: As `check`, or if the factory refuses an option's value.
        """
        return self.create(*self.check(spec), **context)

    def spec_of(self, entry: T) -> str:
        """Returns the spec that builds an entry like this one.

        Args:
            entry: An instance of a data class that is registered here.

        Raises:
            ValueError: If it is not.
        """
        names = [name for name in self if self._factories[name] is type(entry)]
        if not names or not dataclasses.is_dataclass(entry):
            raise ValueError(
                f"The {self.kind} {entry!r} cannot be written as text, which saving "
                "needs. Make it a data class and register it: "
                f"@{self.kind.upper()}S.register('name')."
            )
        options = [
            f"{field.name}={getattr(entry, field.name)!r}"
            for field in dataclasses.fields(entry)
            if getattr(entry, field.name) != field.default
        ]
        return f"{names[0]}({', '.join(options)})" if options else names[0]

    def create(self, name: str, options: dict[str, Any], **context: Any) -> T:
        """Builds an entry with options that `check` has seen; see `build`."""
        factory = self._factories[name]
        wanted = inspect.signature(factory).parameters
        given = {k: v for k, v in context.items() if k in wanted}
        return factory(**{**given, **options})


_REGISTRIES: weakref.WeakSet[Registry[Any]] = weakref.WeakSet()


def foreign_entries() -> set[tuple[Registry[Any], str]]:
    """Returns every registry and name that code outside this package registered."""
    return {
        (registry, name)
        for registry in _REGISTRIES
        for name in registry
        if registry.origin(name) is not None
    }


def suggest(name: str, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for the nearest known name, or `""`."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Splits `"name(a=1, b=word)"` into `("name", {"a": 1, "b": "word"})`.

    Values are Python literals; a bare word is text.

    Raises:
        UsageError: If `spec` is not of that form.
    """
    try:
        node = ast.parse(_quote_words(spec.strip()), mode="eval").body
        call = ast.Call(node, [], []) if isinstance(node, ast.Name) else node
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and not call.args
            and all(keyword.arg for keyword in call.keywords)
        ):
            options = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
            return call.func.id, options
    except (SyntaxError, ValueError):
        pass
    raise UsageError(
        f"Expected `name` or `name(option=value)`, with text values in quotes; "
        f"received {spec!r}."
    )


def parse_sum(spec: str) -> list[tuple[float, str]]:
    """Splits `"a() + 0.5 * b(x=1)"` into `[(1.0, "a()"), (0.5, "b(x=1)")]`.

    Raises:
        UsageError: If a weight is not a number above 0, or a term is missing.
    """
    terms = []
    for term in split_outside(spec, "+"):
        weight, star, rest = term.partition("*")
        if not star or "(" in weight:
            weight, rest = "1", term
        try:
            number = float(weight)
        except ValueError:
            number = 0.0
        if not number > 0 or not math.isfinite(number) or not rest.strip():
            raise UsageError(
                f"Expected a sum such as `name() + 0.5 * other()`, with weights above "
                f"0; received {spec!r}."
            )
        terms.append((number, rest.strip()))
    return terms


# A name, or a path such as `user/name`, `~/data` or `shards/{000..009}.tar`.
_WORD = re.compile(
    r"=\s*(?!(?:True|False|None)\s*[,)])"
    r"((?:[A-Za-z_~/]|\.{1,2}/)[\w./~:@*{}-]*)\s*(?=[,)])"
)


def _quote_words(spec: str) -> str:
    pieces = re.split(r"(\'[^\']*\'|\"[^\"]*\")", spec)
    pieces[::2] = [_WORD.sub(r"='\1'", piece) for piece in pieces[::2]]
    return "".join(pieces)


def split_outside(text: str, separator: str) -> list[str]:
    """Splits where `separator` is in neither parentheses nor quotes.

    Args:
        text: What to split.
        separator: One letter; a plus sign in a number such as `1e+2` is none.
    """
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        else:
            depth += (letter == "(") - (letter == ")")
            if letter == separator and depth == 0 and not _in_number(parts[-1]):
                parts.append("")
                continue
        parts[-1] += letter
    return parts


def _in_number(before: str) -> bool:
    """Returns whether a plus sign after this is that of an exponent, as in `1e+2`."""
    return re.search(r"(?:^|[\s*])[\d.]+[eE]$", before) is not None


def import_siblings(package: str, path: Iterable[str]) -> None:
    """Imports every module of `package`, so that its registrations run."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")
