"""Adds to the site what lies outside docs/, and pages on flags and public names.

MkDocs calls the functions that begin with `on_`. The README becomes the front page. A
file of the repository that a page links to is copied below `repository/`, so that the
site is whole without an address on the network; Markdown among them is shown as a page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from absl import flags
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import dce_tf
from dce_tf.commands.finding import command_names, flags_of
from dce_tf.commands.help_pages import default_sentence, group_flags

ROOT = Path(__file__).parents[1]
OUTSIDE = "repository"
SHOWN = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "RELEASING.md")
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FENCED = re.compile(r"(```.*?```)", re.DOTALL)
_NAMES = [name for name in dce_tf.__all__ if name != "__version__"]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Completes the navigation."""
    look_up = next(entry["Look up"] for entry in config.nav if "Look up" in entry)
    look_up.append(
        {"Flags": [{name: f"flags/{name}.md"} for name in command_names()]},
    )
    look_up.append({"Public names": [{name: f"names/{name}.md"} for name in _NAMES]})
    about = [
        {PurePosixPath(name).stem.capitalize(): f"{OUTSIDE}/{name}"} for name in SHOWN
    ]
    look_up.append({"The project": about})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, and every file that a page links to."""
    for name in command_names():
        _add(files, config, f"flags/{name}.md", content=write_flags(name))
    for name in _NAMES:
        _add(files, config, f"names/{name}.md", content=f"::: dce_tf.{name}\n")
    _add(files, config, "index.md", source=ROOT / "README.md")
    for name in SHOWN:
        _add(files, config, f"{OUTSIDE}/{name}", source=ROOT / name)
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        page = waiting.pop()
        for path in _outside_links(page):
            uri = f"{OUTSIDE}/{path.relative_to(ROOT).as_posix()}"
            if files.get_file_from_path(uri) is None:
                added = _add(files, config, uri, source=path)
                waiting += [added] if added.is_documentation_page() else []
    return files


def on_page_markdown(
    markdown: str, page: Any, config: MkDocsConfig, files: Files
) -> str:
    """Turns links to the repository into links to the copies on the site."""
    del config, files
    here = _home_of(page.file)

    def moved(found: re.Match[str]) -> str:
        path, anchor = found["path"], found["anchor"] or ""
        if "://" in path:
            return found[0]
        target = _uri_of(_target(here, path))
        start = str(PurePosixPath(page.file.src_uri).parent)
        return os.path.relpath(target, start) + anchor

    parts = _FENCED.split(markdown)
    parts[::2] = [_LINK.sub(moved, part) for part in parts[::2]]
    text = "".join(parts)
    return _link_names(text) if page.file.src_uri == "python.md" else text


def write_flags(command: str) -> str:
    """Returns the page on the flags of a command, as Markdown."""
    values = flags.FlagValues()
    taken = flags_of(command)
    taken.define_flags(values)
    lines = [f"# Flags of `{command}`", "", (taken.__doc__ or "").strip(), ""]
    lines += [f"`python main.py {command} --help` prints them. Dashes and underscores"]
    lines += ["in names mean the same.", ""]
    for group, entries in group_flags(command, values).items():
        lines += [f"## {group.capitalize()}", ""] if group != command else []
        lines += ["| flag | meaning | default |", "| --- | --- | --- |"]
        for entry in entries:
            flag = entry.flag
            default = default_sentence(entry).removeprefix("Default: ").rstrip(".")
            lines.append(f"| `--{flag.name}` | {_cell(flag.help)} | {_cell(default)} |")
        lines.append("")
    return "\n".join(lines)


def _link_names(markdown: str) -> str:
    """Makes the public names in the first column of a table links to their pages."""

    def linked(found: re.Match[str]) -> str:
        return re.sub(r"`(\w+)`", r"[`\1`](names/\1.md)", found[0])

    return re.sub(r"^\| (?:`\w+`(?:, )?)+ \|", linked, markdown, flags=re.MULTILINE)


def _cell(text: str) -> str:
    """Returns text for a cell of a table, in which nothing is markup."""
    words = " ".join(text.split())
    return re.sub(r"([\\`*_<>|\[\]])", r"\\\1", words)


def _add(
    files: Files,
    config: MkDocsConfig,
    uri: str,
    *,
    content: str | None = None,
    source: Path | None = None,
) -> File:
    where = str(source) if source else None
    file = File.generated(config, uri, content=content, abs_src_path=where)
    files.append(file)
    return file


def _home_of(file: File) -> Path:
    """Returns the folder of the repository that links of a page start from."""
    if file.src_uri == "index.md":
        return ROOT
    if file.src_uri.startswith(f"{OUTSIDE}/"):
        return (ROOT / file.src_uri.removeprefix(f"{OUTSIDE}/")).parent
    return (ROOT / "docs" / file.src_uri).parent


def _target(here: Path, path: str) -> Path:
    """Returns what a link of the repository leads to; for a folder its README."""
    target = Path(os.path.normpath(here / path))
    target = target / "README.md" if target.is_dir() else target
    if not target.is_relative_to(ROOT):
        raise PluginError(f"{here}: the link {path} leaves the repository.")
    return target


def _uri_of(target: Path) -> str:
    """Returns where a file of the repository lies on the site."""
    if target == ROOT / "README.md":
        return "index.md"
    if target.is_relative_to(ROOT / "docs"):
        return target.relative_to(ROOT / "docs").as_posix()
    return f"{OUTSIDE}/{target.relative_to(ROOT).as_posix()}"


def _outside_links(page: File) -> list[Path]:
    """Returns the files outside docs/ that a page links to."""
    text = _FENCED.sub("", page.content_string)
    here = _home_of(page)
    targets = [
        _target(here, found["path"])
        for found in _LINK.finditer(text)
        if "://" not in found["path"]
    ]
    return [
        target
        for target in targets
        if _uri_of(target).startswith(f"{OUTSIDE}/") and target.is_file()
    ]
