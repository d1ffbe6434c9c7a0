"""Counts what comes over HTTP, and what goes, as memory of its request."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dce_tf.serving.errors import ServingError
from dce_tf.serving.http.error_answers import error_response
from dce_tf.serving.memory import MemoryBudget, Share

_SHARE = "dce_tf.share"  # Where the scope of a request has it.
_SENT_AT_ONCE = 64 * 1024  # Bytes; as many as asyncio takes before it says to wait.


def share_of(scope: MutableMapping[str, Any]) -> Share:
    """Returns the share of a request that passed `CountedMemory`."""
    share: Share = scope[_SHARE]
    return share


class CountedMemory:
    """Counts the body and the answer of each request until it is answered.

    An answer goes out in pieces, each when the client has taken the one before, so that
    it counts until the client has it.

    Args:
        app: What is behind it.
        budget: The bytes there are for all. What goes beyond the limit of one body is
            not kept, and so not counted.
    """

    def __init__(self, app: ASGIApp, budget: MemoryBudget) -> None:
        self._app = app
        self._largest = budget.limits.body_bytes
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        share = Share(self._budget)
        answer = _Answer(share, scope, receive, send)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            before = received
            size = before + len(message.get("body", b""))
            received = min(size, self._largest)
            share.take(received - before)
            return message

        try:
            await self._app({**scope, _SHARE: share}, receive_counted, answer.send)
        finally:
            share.give_back()


class _Answer:
    """Sends an answer in pieces, or another in its place if there is no memory."""

    def __init__(
        self, share: Share, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._share = share
        self._connection = (scope, receive, send)
        self._send = send
        self._start: Message | None = None
        self._refused = False

    async def send(self, message: Message) -> None:
        """Takes a message of the application."""
        if self._refused:
            return
        if message["type"] == "http.response.start":
            self._start = message  # Kept until it is known whether there is room.
            return
        body = message.get("body", b"")
        try:
            if len(body) > _SENT_AT_ONCE:  # Less than that asyncio takes at once.
                self._share.take(len(body))
        except ServingError as error:
            if self._start is None:
                raise
            self._refused = True
            await error_response(error)(*self._connection)
            return
        if self._start is not None:
            await self._send(self._start)
            self._start = None
        last = max(0, len(body) - 1) // _SENT_AT_ONCE * _SENT_AT_ONCE
        for start in range(0, last, _SENT_AT_ONCE):
            piece = body[start : start + _SENT_AT_ONCE]
            await self._send({**message, "body": piece, "more_body": True})
        await self._send({**message, "body": body[last:]})
