"""A Hugging Face Hub of this machine: what `huggingface_hub` asks of the real one.

Written from what version 2.4 of the client sends and reads. Files that are not text are
LFS files here, which lie behind a signed address, as they do there; there is no Xet.
"""

import base64
import dataclasses
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from huggingface_hub.utils import close_session

INVALID = "Invalid credentials in Authorization header"
SIGNATURE = "X-Amz-Signature=secret"
Files = dict[str, bytes]


@dataclasses.dataclass
class Repository:
    """A repository with its commits on main, the newest last."""

    private: bool = False
    gated: bool = False
    commits: list[tuple[str, Files]] = dataclasses.field(default_factory=list)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)

    def commit(self, files: Files) -> str:
        told = f"{len(self.commits)}" + "".join(sorted(files))
        sha = hashlib.sha1(told.encode()).hexdigest()
        self.commits.append((sha, files))
        return sha

    @property
    def head(self) -> str:
        return self.commits[-1][0]

    @property
    def files(self) -> Files:
        return self.commits[-1][1]

    def at(self, revision: str) -> tuple[str, Files] | None:
        sha = {"main": self.head, **self.tags}.get(revision, revision)
        return next((each for each in self.commits if each[0] == sha), None)


class RefusalError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.headers = {"X-Error-Code": code, "X-Error-Message": message}


def is_lfs(content: bytes) -> bool:
    return b"\0" in content


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def oid_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if is_lfs(content) else git_hash(content)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self) -> None:
        hub: StandIn = self.server.stand_in
        body = self._body()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        hub.requests.append((self.command, self.path, token))
        try:
            status, headers, content = hub.answer(self.command, self.path, body, token)
        except RefusalError as refusal:
            status, headers, content = refusal.status, refusal.headers, b"{}"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


class StandIn:
    """The server; `requests` has what was asked: method, path and token.

    Args:
        tokens: Name of the user of each token that may write; a name that ends in
            `:read` may only read.
    """

    def __init__(self, tokens: dict[str, str]) -> None:
        self.tokens = tokens
        self.repositories: dict[str, Repository] = {}
        self.large: Files = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.status: int | None = None  # Answered to all, if set.
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.stand_in = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.cdn = self.url.replace("127.0.0.1", "localhost")
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        close_session()  # Or the client's connections go on.

    def asked(self, method: str, pattern: str) -> list[str]:
        """Returns the paths that were asked for."""
        return [
            path
            for each, path, _ in self.requests
            if each == method and re.search(pattern, path)
        ]

    def answer(
        self, method: str, path: str, body: bytes, token: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        if self.status is not None:
            raise RefusalError(self.status)
        where = unquote(urlsplit(path).path)
        if where.startswith("/cdn/") and SIGNATURE in path:
            return self._cdn(method, where, body, token)
        if token is not None and token not in self.tokens:
            raise RefusalError(401, message=INVALID)
        for pattern, answer in self._routes().items():
            verb, _, form = pattern.partition(" ")
            found = re.fullmatch(form, where)
            if found and (verb == method or (verb, method) == ("GET", "HEAD")):
                result = answer(*found.groups(), body=body, token=token)
                if isinstance(result, tuple):
                    return result
                return 200, {"Content-Type": "application/json"}, _json(result)
        raise RefusalError(404)

    def _routes(self) -> dict[str, Callable[..., Any]]:
        repo = r"([^/]+/[^/]+)"
        return {
            r"POST /api/repos/create": self._create,
            r"POST /api/validate-yaml": self._validate,
            rf"GET /api/models/{repo}": self._info,
            rf"GET /api/models/{repo}/revision/(.+)": self._info,
            rf"GET /api/models/{repo}/tree/([^/]+)": self._tree,
            rf"POST /api/models/{repo}/preupload/main": self._preupload,
            rf"POST /{repo}\.git/info/lfs/objects/batch": self._batch,
            rf"POST /api/models/{repo}/commit/main": self._commit,
            rf"GET /{repo}/resolve/([^/]+)/(.+)": self._resolve,
        }

    def _open(self, name: str, token: str | None, *, writes: bool) -> Repository:
        repository = self.repositories.get(name)
        user = self.tokens.get(token or "", "")
        own = user.removesuffix(":read") == name.partition("/")[0]
        if repository is None or (repository.private and not own):
            raise RefusalError(404 if token else 401, "RepoNotFound")
        if repository.gated and not own:
            raise RefusalError(403, "GatedRepo")
        if writes and (not own or user.endswith(":read")):
            raise RefusalError(403, message="You don't have the required permissions")
        return repository

    def _at(self, name: str, revision: str, token: str | None) -> tuple[str, Files]:
        found = self._open(name, token, writes=False).at(revision)
        if found is None:
            raise RefusalError(404, "RevisionNotFound")
        return found

    def _create(self, *, body: bytes, token: str | None) -> Any:
        wanted = json.loads(body)
        user = self.tokens.get(token or "", "")
        owner = wanted["organization"]
        name = f"{owner}/{wanted['name']}"
        if not token:
            raise RefusalError(401)
        if user != owner:
            raise RefusalError(403, message="You don't have the rights")
        if name in self.repositories:
            raise RefusalError(409, message="You already created this model repo")
        private = wanted.get("visibility") == "private" or wanted.get("private", False)
        made = self.repositories[name] = Repository(private=private)
        made.commit({".gitattributes": b"*.pb filter=lfs\n"})
        return {"url": f"{self.url}/{name}", "name": name}

    def _validate(self, *, body: bytes, token: str | None) -> Any:
        content = json.loads(body)["content"]
        found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        known = yaml.safe_load(found[1]) if found else None
        if not isinstance(known, dict):
            problem = {"errors": [{"message": "no metadata"}], "warnings": []}
            return 400, {"Content-Type": "application/json"}, _json(problem)
        return {"errors": [], "warnings": []}

    def _info(
        self, name: str, revision: str = "main", *, body: bytes, token: str | None
    ) -> Any:
        sha, files = self._at(name, revision, token)
        private = self.repositories[name].private
        siblings = [{"rfilename": path} for path in files]
        return {"id": name, "sha": sha, "private": private, "siblings": siblings}

    def _tree(self, name: str, sha: str, *, body: bytes, token: str | None) -> Any:
        _, files = self._at(name, sha, token)
        return [
            {"type": "file", "path": path, **self._entry(content)}
            for path, content in files.items()
        ]

    def _entry(self, content: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"size": len(content), "oid": git_hash(content)}
        if is_lfs(content):
            sha = oid_of(content)
            entry["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
        return entry

    def _preupload(self, name: str, *, body: bytes, token: str | None) -> Any:
        files = self._open(name, token, writes=True).files
        answers = []
        for each in json.loads(body)["files"]:
            known = files.get(each["path"])
            lfs = is_lfs(base64.b64decode(each["sample"]))
            answers.append(
                {
                    "path": each["path"],
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": False,
                    "oid": None if known is None else oid_of(known),
                }
            )
        return {"files": answers}

    def _batch(self, name: str, *, body: bytes, token: str | None) -> Any:
        self._open(name, token, writes=True)
        objects = []
        for each in json.loads(body)["objects"]:
            href = f"{self.cdn}/cdn/{each['oid']}?{SIGNATURE}"
            is_new = each["oid"] not in self.large
            actions = {"actions": {"upload": {"href": href}}} if is_new else {}
            objects.append({**each, **actions})
        return {"transfer": "basic", "objects": objects}

    def _cdn(
        self, method: str, path: str, body: bytes, token: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        oid = path.removeprefix("/cdn/")
        if method != "PUT":
            return 200, {"ETag": f'"{oid}"'}, self.large[oid]
        assert hashlib.sha256(body).hexdigest() == oid
        self.large[oid] = body
        return 200, {}, b""

    def _commit(self, name: str, *, body: bytes, token: str | None) -> Any:
        repository = self._open(name, token, writes=True)
        header, *operations = map(json.loads, body.splitlines())
        if header["value"].get("parentCommit", repository.head) != repository.head:
            raise RefusalError(412, message="A commit has happened since")
        files = dict(repository.files)
        for each in operations:
            value = each["value"]
            if each["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif each["key"] == "lfsFile":
                files[value["path"]] = self.large[value["oid"]]
            else:
                del files[value["path"]]
        sha = repository.commit(files)
        return {"commitUrl": f"{self.url}/{name}/commit/{sha}", "commitOid": sha}

    def _resolve(
        self, name: str, revision: str, path: str, *, body: bytes, token: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        sha, files = self._at(name, revision, token)
        headers = {"X-Repo-Commit": sha}
        if path not in files:
            raise RefusalError(404, "EntryNotFound")
        content = files[path]
        if not is_lfs(content):
            return 200, {**headers, "ETag": f'"{git_hash(content)}"'}, content
        oid = oid_of(content)
        self.large[oid] = content
        headers |= {
            "X-Linked-Etag": f'"{oid}"',
            "X-Linked-Size": str(len(content)),
            "Location": f"{self.cdn}/cdn/{oid}?{SIGNATURE}",
        }
        return 302, headers, b""


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
