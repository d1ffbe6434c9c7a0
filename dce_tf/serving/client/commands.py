"""What the client does on a command line: `python -m dce_tf.serving.client COMMAND`.

Exit codes: 0 if it went well, 1 if the server or a file failed, 2 for a wrong command.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dce_tf.serving.client.client import (
    DEFAULT_MODEL,
    DEFAULT_URL,
    TOKEN_VARIABLE,
    Client,
    Hit,
    Id,
    Record,
    ServerError,
)

Arguments = argparse.Namespace


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends with the exit code of a wrong command."""
        self.exit(2, f"Error: {message} ({self.prog} --help explains)\n")


def main(words: Sequence[str]) -> int:
    """Runs one command; returns the exit code."""
    parser = _parser()
    try:
        given = parser.parse_args(words)
    except SystemExit as end:  # argparse has said why.
        return int(end.code or 0)
    try:
        client = Client(
            given.url,
            model=given.model,
            token=_token(given.token_file),
            timeout=given.timeout,
            retries=given.retries,
            ca_file=given.ca_file,
        )
        with client:
            given.run(client, given)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else error)
    except ServerError as error:
        return _fail(error)
    except ValueError as error:
        return _fail(error, 2)
    return 0


def _fail(error: object, code: int = 1) -> int:
    print(f"Error: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--url", default=DEFAULT_URL, help="where the server is")
    common.add_argument("--model", default=DEFAULT_MODEL, help="what it is called")
    common.add_argument(
        "--token_file", help=f"holds its token; default: {TOKEN_VARIABLE}"
    )
    common.add_argument("--ca_file", help="certificates (PEM) to trust")
    common.add_argument("--timeout", type=float, default=60.0, help="in seconds")
    common.add_argument("--retries", type=int, default=4, help="if it is busy or away")
    common.add_argument("--json", action="store_true", help="print as JSON")
    parser = _Parser(
        prog="python -m dce_tf.serving.client",
        description="Ask a server for embeddings and neighbours.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[Client, Arguments], None], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, parents=[common], help=text, description=text)
        added.set_defaults(run=run)
        return added

    added = command("embed", _embed, "Write embeddings to the output, as .npy or JSON.")
    added.add_argument("images", nargs="+", metavar="IMAGE")
    command("status", _status, "Show the versions of the model.")
    command("collections", _collections, "Show what can be searched.")
    added = command("search", _search, "Find the images most like others.")
    added.add_argument("collection", metavar="NAME")
    added.add_argument("images", nargs="*", metavar="IMAGE")
    added.add_argument("--id", action="append", default=[], help="a record instead")
    added.add_argument("-k", type=int, default=10, help="how many to find")
    added.add_argument("--filter", type=_object, help='JSON such as {"label": "x"}')
    added.add_argument(
        "--min_probability", type=float, help="leave out what is less probable"
    )
    added.add_argument("--rerank", choices=["local"], help="look again at the first")
    _add_number_ids(added)
    _add_decisions(command)
    added = command("upsert", _upsert, "Store images; their ids are their paths.")
    added.add_argument("collection", metavar="NAME")
    added.add_argument("images", nargs="+", metavar="IMAGE")
    added.add_argument("--id", help="of the image, if it is one")
    added.add_argument("--label", help="their class")
    added.add_argument("--metadata", type=_object, default={}, help="a JSON object")
    _add_number_ids(added)
    added = command("delete", _delete, "Remove records.")
    added.add_argument("collection", metavar="NAME")
    added.add_argument("ids", nargs="+", metavar="ID")
    _add_number_ids(added)
    added = command("rebuild", _rebuild, "Make the search structure and the map again.")
    added.add_argument("collection", metavar="NAME")
    return parser


def _add_decisions(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds the commands that ask for more than a score."""
    added = command("identify", _identify, "Say of which class images are.")
    added.add_argument("collection", metavar="NAME")
    added.add_argument("images", nargs="+", metavar="IMAGE")
    added.add_argument("-k", type=int, default=10, help="how many are weighed")
    added.add_argument(
        "--min_probability", type=float, help="what is less probable is unknown"
    )
    added = command("verify", _verify, "Say whether two images are of one class.")
    added.add_argument("collection", metavar="NAME")
    added.add_argument("first", metavar="IMAGE")
    added.add_argument("second", metavar="IMAGE")
    added = command("explain", _explain, "Say where an image is like a record.")
    added.add_argument("collection", metavar="NAME")
    added.add_argument("image", metavar="IMAGE")
    added.add_argument("id", metavar="ID")
    _add_number_ids(added)


def _add_number_ids(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--number_ids", action="store_true", help="ids are integers")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, received {text}")
    return value


def _token(file: str | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    return Path(file).read_text(encoding="utf-8").strip()


def _id(text: str, given: Arguments) -> Id:
    if not given.number_ids:
        return text
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"--number_ids: received the id {text!r}; expected an integer."
        ) from None


def _embed(client: Client, given: Arguments) -> None:
    if not given.json and sys.stdout.isatty():
        raise ValueError("Send the output to a file (> out.npy), or pass --json.")
    embeddings = client.embed(given.images)
    if given.json:
        pairs = zip(given.images, embeddings.tolist(), strict=True)
        _print_json([{"image": path, "embedding": each} for path, each in pairs])
        return
    array = io.BytesIO()
    np.save(array, embeddings)
    sys.stdout.buffer.write(array.getvalue())


def _status(client: Client, given: Arguments) -> None:
    versions = client.status()
    if given.json:
        _print_json([dataclasses.asdict(version) for version in versions])
        return
    for version in versions:
        print(" ".join(map(str, dataclasses.astuple(version))).rstrip())


def _collections(client: Client, given: Arguments) -> None:
    collections = client.collections()
    if given.json:
        _print_json(collections)
        return
    for each in collections:
        print(f"{each['name']}  {each['count']} images, {each['kind']}")


def _search(client: Client, given: Arguments) -> None:
    queries = [(path, {"image": path}) for path in given.images]
    queries += [(text, {"record_id": _id(text, given)}) for text in given.id]
    if not queries:
        raise ValueError("Expected an image, or --id=RECORD.")
    wanted = {
        "k": given.k,
        "where": given.filter,
        "min_probability": given.min_probability,
        "rerank": given.rerank,
    }
    found = [
        (name, client.search(given.collection, **query, **wanted))
        for name, query in queries
    ]
    if given.json:
        _print_json(
            [
                {"query": name, "hits": [dataclasses.asdict(hit) for hit in hits]}
                for name, hits in found
            ]
        )
        return
    for name, hits in found:
        is_unknown = not hits and given.min_probability is not None
        print(f"{name}: unknown" if is_unknown else name)
        for rank, hit in enumerate(hits, start=1):
            print(_line(rank, hit))


def _identify(client: Client, given: Arguments) -> None:
    found = [
        (
            path,
            client.identify(
                given.collection,
                image=path,
                k=given.k,
                min_probability=given.min_probability,
            ),
        )
        for path in given.images
    ]
    if given.json:
        _print_json(
            [{"query": path, **dataclasses.asdict(each)} for path, each in found]
        )
        return
    for path, each in found:
        if each.probability is None:
            print(f"{path}  unknown")
        else:
            print(f"{path}  {each.label}  with probability {each.probability:.4f}")


def _verify(client: Client, given: Arguments) -> None:
    found = client.verify(given.collection, given.first, given.second)
    if given.json:
        _print_json(dataclasses.asdict(found))
        return
    print(
        f"{'the same' if found.same else 'not the same'}: probability "
        f"{found.probability:.4f}, score {found.score:.4f}, the threshold "
        f"{found.threshold:.4f} accepts {found.far:g} of the pairs of two classes"
    )


def _explain(client: Client, given: Arguments) -> None:
    record_id = _id(given.id, given)
    found = client.explain(given.collection, record_id, image=given.image)
    if given.json:
        _print_json(dataclasses.asdict(found))
        return
    print(f"score {found.score:.4f}, of which each place gives:")
    for name, heat in ((given.image, found.query), (given.id, found.record)):
        print(name)
        for row in heat:
            print("".join(f"{value:9.4f}" for value in row))


def _line(rank: int, hit: Hit) -> str:
    parts = [f"{rank:4d}", f"{hit.score:7.4f}"]
    if hit.probability is not None:
        parts.append(f"{hit.probability:6.4f}")
    parts.append(str(hit.id))
    if hit.label is not None:
        parts.append(hit.label)
    if hit.metadata:
        parts.append(json.dumps(dict(hit.metadata), ensure_ascii=False))
    return "  ".join(parts)


def _upsert(client: Client, given: Arguments) -> None:
    if given.id is not None and len(given.images) > 1:
        raise ValueError(f"--id names one image; received {len(given.images)}.")
    names = given.images if given.id is None else [given.id]
    records = [
        Record(_id(name, given), path, label=given.label, metadata=given.metadata)
        for name, path in zip(names, given.images, strict=True)
    ]
    _print_count("upserted", client.upsert(given.collection, records), given)


def _delete(client: Client, given: Arguments) -> None:
    ids = [_id(text, given) for text in given.ids]
    _print_count("deleted", client.delete(given.collection, ids), given)


def _rebuild(client: Client, given: Arguments) -> None:
    _print_count("count", client.rebuild(given.collection), given)


def _print_count(name: str, count: int, given: Arguments) -> None:
    if given.json:
        _print_json({name: count})
    else:
        print(f"{name}: {count}")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))
