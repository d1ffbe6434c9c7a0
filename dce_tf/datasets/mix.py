"""Several data sets in one embedding space: `mix(csv=A, csv=B, folder=C, glyphs)`."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dce_tf.base.errors import UsageError
from dce_tf.base.registry import split_outside
from dce_tf.datasets import DATASETS
from dce_tf.datasets.labels import clean_label
from dce_tf.datasets.merging import MERGED, merge
from dce_tf.datasets.splits import Splits
from dce_tf.datasets.verdicts import whole_path

_FORM = (
    "`mix(READER=DIR, READER=DIR, ...)`, with what --dataset and --data_dir would take "
    "for each on either side, such as `mix(csv=A, folder(test_fraction=0.2)=B, glyphs)`"
)
_NAMED = re.compile(r"([\w.-]+)\s*:\s*(.+)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class MixSource:
    """One data set of a mix.

    Attributes:
        typed: As the user wrote it.
        name: What it is to be called, if the user said so.
        spec: What `--dataset` would be for it alone.
        reader: Its entry in `DATASETS`.
        options: Of the reader.
        folder: Where it lies, as the user wrote it; None where none is needed.
    """

    typed: str
    name: str | None
    spec: str
    reader: str
    options: Mapping[str, Any]
    folder: str | None

    def place(self, root: Path | None) -> Path | None:
        """Returns where it lies.

        Args:
            root: What a relative folder lies below; None for the current one.
        """
        if self.folder is None:
            return None
        path = Path(self.folder).expanduser()
        return path if root is None else root / path

    def called(self, root: Path | None) -> str:
        """Returns its name: the one given, that of its folder, or of its reader.

        Args:
            root: See `place`.
        """
        place = self.place(root)
        if self.name is not None or place is None:
            return self.name or self.reader
        path = Path(whole_path(place))
        if path.suffix == ".csv":
            path = path.parent if path.name == "index.csv" else path.with_suffix("")
        return clean_label(path.name) or self.reader


def parse_mix(spec: str) -> dict[str, Any]:
    """Reads `mix(...)`.

    Args:
        spec: As for `--dataset`. Sources stand between commas, each as `READER=DIR`,
            `READER` or `NAME:READER=DIR`, where READER may have options in parentheses
            and DIR is in quotes where it holds a comma, a quote or a parenthesis.

    Returns:
        The option `sources` of `read_mix`.

    Raises:
        UsageError: If it is not of that form, a reader or an option is unknown, there
            is one source only, one is there twice, or one needs a directory.
    """
    text = spec.strip().removeprefix("mix").strip()
    if not (text.startswith("(") and text.endswith(")")):
        raise UsageError(f"Expected {_FORM}; received {spec!r}.")
    typed = [part.strip() for part in split_outside(text[1:-1], ",")]
    if typed[-1] == "":  # As after the last comma of a call.
        typed.pop()
    sources = tuple(_parse_source(part, spec) for part in typed)
    if len(sources) < 2:
        raise UsageError(_too_few(sources, spec))
    _check_different(sources)
    return {"sources": sources}


def _too_few(sources: tuple[MixSource, ...], spec: str) -> str:
    if not sources:
        return f"Expected {_FORM}; received {spec!r}, without a source."
    alone = sources[0]
    where = f" --data_dir={alone.folder}" if alone.folder else ""
    return (
        f"--dataset=mix has one source, {alone.typed}; expected two or more. Add one, "
        f"or pass --dataset={alone.spec}{where} for that alone."
    )


def _parse_source(typed: str, spec: str) -> MixSource:
    pieces = split_outside(typed, "=")
    left, folder = pieces[0].strip(), "=".join(pieces[1:]).strip()
    if not left or (len(pieces) > 1 and not folder):
        raise UsageError(f"Expected {_FORM}; received {typed!r} in {spec!r}.")
    name = None
    if (named := _NAMED.fullmatch(left)) is not None:
        name, left = clean_label(named[1]), named[2]
    if name == MERGED:
        raise UsageError(
            _of(
                typed,
                f"the name {MERGED!r} is that of the search in all sources. Choose "
                "another one.",
            )
        )
    try:
        reader, options = DATASETS.check(left)
    except UsageError as error:
        raise UsageError(_of(typed, str(error))) from error
    if DATASETS.has_grammar(reader):
        raise UsageError(
            _of(typed, f"a {reader} within a mix. Name its sources beside the others.")
        )
    source = MixSource(typed, name, left, reader, options, _unquoted(folder, typed))
    _check_place(source)
    return source


def _unquoted(folder: str, typed: str) -> str | None:
    if len(folder) > 1 and folder[0] in "'\"" and folder[-1] == folder[0]:
        folder = folder[1:-1]
    elif "'" in folder or '"' in folder:
        raise UsageError(
            _of(
                typed,
                "found a quote in the directory. Put the whole directory in quotes of "
                "the other kind.",
            )
        )
    return folder or None


def _check_place(source: MixSource) -> None:
    parameters = inspect.signature(DATASETS.factory(source.reader)).parameters
    wanted = parameters.get("data_dir")
    if source.folder is not None and wanted is None:
        raise UsageError(
            _of(source.typed, f"{source.reader} takes no directory. Leave it out.")
        )
    needed = wanted is not None and wanted.default is inspect.Parameter.empty
    if source.folder is None and needed:
        raise UsageError(
            _of(
                source.typed,
                "found no directory; expected that of its images. Write "
                f"{source.typed}=DIR.",
            )
        )


def _check_different(sources: tuple[MixSource, ...]) -> None:
    seen: dict[Any, MixSource] = {}
    for source in sources:
        place = source.place(None)
        where = None if place is None else os.path.normpath(place)
        key = (source.reader, repr(sorted(source.options.items())), where)
        first = seen.setdefault(key, source)
        if first is not source:
            raise UsageError(
                f"--dataset=mix has one source twice, as {first.typed} and as "
                f"{source.typed}; expected different ones. Leave one of the two out."
            )


def _of(typed: str, text: str) -> str:
    return f"--dataset=mix, source {typed}: {text}"


@DATASETS.register("mix", grammar=parse_mix)
def read_mix(
    sources: tuple[MixSource, ...],
    data_dir: str | None = None,
    allow_partial_data: bool = False,
) -> Splits:
    """Reads several data sets, for one embedder: `mix(csv=A, csv=B, folder=C, glyphs)`.

    A class is called `SOURCE/CLASS`. A source is called as its directory, as its reader
    where it has none, or as the user says: `mix(shelf:csv=A, glyphs)`.

    Args:
        sources: As `parse_mix` reads them.
        data_dir: The folder below which relative directories lie; by default the
            current one.
        allow_partial_data: Given to every reader.

    Raises:
        UsageError: If two sources have one name, or `data_dir` is of no use.
        ValueError: If a source cannot be read, or an image is in two of them.
    """
    root = _root(data_dir, sources)
    found: dict[str, Splits] = {}
    typed: dict[str, str] = {}
    for source in sources:
        name = source.called(root)
        if name in typed or name == MERGED:
            other = f"{typed[name]} has" if name in typed else "the merged search has"
            raise UsageError(
                _of(
                    source.typed,
                    f"it would be called {name!r}, a name that {other} already. Name "
                    f"it yourself: other:{source.typed}.",
                )
            )
        typed[name] = source.typed
    for name, source in zip(typed, sources, strict=True):
        place = source.place(root)
        try:
            found[name] = DATASETS.create(
                source.reader,
                dict(source.options),
                data_dir=None if place is None else str(place),
                allow_partial_data=allow_partial_data,
            )
        except ValueError as error:
            text = str(error).replace("--data_dir", "the directory")
            kind = UsageError if isinstance(error, UsageError) else ValueError
            raise kind(_of(source.typed, text)) from error
    return merge(found)


def _root(data_dir: str | None, sources: tuple[MixSource, ...]) -> Path | None:
    if not data_dir:
        return None
    root = Path(data_dir).expanduser()
    if not root.is_dir():
        raise ValueError(
            f"{root}: no such folder; expected the one below which the directories of "
            "the mix lie. Correct --data_dir."
        )
    places = [source.place(None) for source in sources]
    if not any(place is not None and not place.is_absolute() for place in places):
        raise UsageError(
            f"--data_dir={data_dir}: the folder below which relative directories of a "
            "mix lie, and this one has none. Leave the flag out."
        )
    return root
