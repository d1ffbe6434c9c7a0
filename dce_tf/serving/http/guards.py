"""Who may ask: hosts, pages of other sites, and the token."""

from __future__ import annotations

import dataclasses
import hmac
import re
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dce_tf.base.errors import UsageError
from dce_tf.serving.errors import ServingError, invalid
from dce_tf.serving.http.error_answers import error_response

OPEN_PATHS = ("/", "/healthz", "/readyz")
OPEN_FOLDER = "/page/"  # The page holds no secrets; what it asks for has a token.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
EVERY = "*"

_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/?#@\s]+)(?::\d*)?")
_API = re.compile("/v1/", re.IGNORECASE)
_SCHEME = re.compile("https?://", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d+)?")
_HOST = re.compile(r"\*|(?:\*\.)?[a-z0-9_.-]+|[0-9a-f:.]+")
_TOKEN = re.compile("[!-~]+")
_WILDCARDS = ("0.0.0.0", "::", "")
_CORS_HEADERS = {
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": (
        "Content-Type, Authorization, X-Per-Item-Errors, X-Request-ID"
    ),
    "Access-Control-Expose-Headers": "X-Request-ID",
}


@dataclasses.dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        host: Address the server listens at.
        allowed_hosts: Further names it answers to: see `HostGuard`.
        cors_origins: Whose pages may use it: see `OriginGuard`.
        token: What requests must carry, if anything.
    """

    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    token: str | None = None


def check_token(token: str, where: str) -> str:
    """Returns the token, if a header can carry it.

    Args:
        token: The secret.
        where: What errors call the place it comes from; they never show it.

    Raises:
        UsageError: If it holds more than letters, digits and signs of ASCII.
    """
    if _TOKEN.fullmatch(token):
        return token
    raise UsageError(
        f"{where}: expected a token of letters, digits and signs of ASCII without "
        "spaces, as no other fits into a header. Make one with `openssl rand -hex 32`."
    )


def check_hosts(names: Iterable[str]) -> tuple[str, ...]:
    """Returns names of hosts, without brackets.

    Raises:
        UsageError: If one is none.
    """
    checked = []
    for name in names:
        host = (
            EVERY if name == EVERY else host_of(f"[{name}]" if "::" in name else name)
        )
        if host is None or not _HOST.fullmatch(host):
            raise UsageError(
                f"--allowed_hosts={name}: expected names such as example.com, "
                "*.example.com or 192.0.2.7, without scheme and port; or * for any."
            )
        checked.append(host)
    return tuple(checked)


def check_origins(origins: Iterable[str]) -> tuple[str, ...]:
    """Returns origins as browsers write them.

    Raises:
        UsageError: If one is none.
    """
    checked = []
    for origin in origins:
        written = origin.lower().rstrip("/")
        if written != EVERY and not _ORIGIN.fullmatch(written):
            raise UsageError(
                f"--cors_origins={origin}: expected scheme and host, such as "
                "https://example.com or http://localhost:3000, without a path; or * "
                "for all."
            )
        checked.append(written)
    return tuple(checked)


def host_of(authority: str) -> str | None:
    """Returns the host of `HOST:PORT`, without brackets; None for what is none."""
    found = _AUTHORITY.fullmatch(authority.strip())
    return found[1].strip("[]").lower().rstrip(".") if found else None


class HostGuard:
    """Answers only to the names of this server.

    A page of any site can have its own name point to 127.0.0.1, and would then read and
    change what is here as if it came from here (DNS rebinding). Its requests still
    carry that name.

    Args:
        app: What is behind it.
        host: Address the server listens at. Where it is all addresses, the one that a
            connection came in by counts also.
        allowed: Further names, of `check_hosts`; `*.example.com` for all below one, `*`
            for any.
    """

    def __init__(self, app: ASGIApp, host: str, allowed: Iterable[str] = ()) -> None:
        self._app = app
        names = tuple(allowed)
        self._any = EVERY in names
        self._below = tuple(each[1:] for each in names if each.startswith("*."))
        self._names = {*LOCAL_HOSTS, host.lower(), *names}
        self._is_everywhere = host in _WILDCARDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        given = Headers(scope=scope).get("host")
        # A browser always says which host it means.
        if given is None or self._any or self._knows(host_of(given), scope):
            await self._app(scope, receive, send)
            return
        error = ServingError(
            "PERMISSION_DENIED",
            f"This server does not answer to the host {given[:255]!r}. If that is its "
            "name, start it with --allowed_hosts.",
        )
        await error_response(error)(scope, receive, send)

    def _knows(self, host: str | None, scope: Scope) -> bool:
        if not host:
            return False
        if host in self._names or host.endswith(self._below):
            return True
        own = scope.get("server")
        return self._is_everywhere and own is not None and host == own[0]


class OriginGuard:
    """Lets only its own pages, and those of chosen origins, use the API.

    Answers `OPTIONS` as TensorFlow Serving does with `--rest_api_enable_cors_support`,
    but that it names the origin where not all are allowed.

    Args:
        app: What is behind it.
        origins: Such as `https://example.com`, of `check_origins`; `*` for all.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str] = ()) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not _API.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        app = self._app
        if scope["method"] == "OPTIONS":
            app = _preflight(origin)
        elif origin and not self._may_send(
            scope["method"], origin, headers.get("host")
        ):
            app = error_response(
                ServingError(
                    "PERMISSION_DENIED",
                    f"Pages of {origin[:255]} may not use this server. If they are to, "
                    "start it with --cors_origins.",
                )
            )
        await app(scope, receive, self._allowing(origin, send))

    def _may_send(self, method: str, origin: str, host: str | None) -> bool:
        # What only looks is harmless: without a header of ours the page cannot read it.
        is_own = origin.partition("://")[2] == host
        return method in ("GET", "HEAD") or is_own or self._allows(origin)

    def _allows(self, origin: str) -> bool:
        return EVERY in self._origins or origin.lower() in self._origins

    def _allowing(self, origin: str | None, send: Send) -> Send:
        """Returns what adds that the page may read the answer, if it may."""
        if not self._origins:
            return send
        named: dict[str, str] = {}
        if EVERY in self._origins:
            named = {"Access-Control-Allow-Origin": EVERY, **_CORS_HEADERS}
        elif origin and self._allows(origin):
            named = {"Access-Control-Allow-Origin": origin, **_CORS_HEADERS}
        if EVERY not in self._origins:
            named["Vary"] = "Origin"
        added = [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in named.items()
        ]

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        return send_allowing


def _preflight(origin: str | None) -> Response:
    if origin and _SCHEME.match(origin):
        return Response(media_type="application/json")
    return error_response(invalid("Origin header is missing in CORS preflight"))


class TokenGuard:
    """Lets in only who has the token.

    Args:
        app: What is behind it.
        token: The secret, in ASCII; without one everybody is let in.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] != "http" or self._lets_in(scope):
            await self._app(scope, receive, send)
            return
        error = ServingError(
            "UNAUTHENTICATED", "The request has no valid token: Authorization: Bearer …"
        )
        await error_response(error)(scope, receive, send)

    def _lets_in(self, scope: Scope) -> bool:
        path = scope["path"]
        if self._expected is None or path in OPEN_PATHS or path.startswith(OPEN_FOLDER):
            return True
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        return hmac.compare_digest(given, self._expected)
