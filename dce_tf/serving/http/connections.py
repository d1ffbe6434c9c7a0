"""A connection that waits for nobody for ever, and says in JSON what it refuses."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from dce_tf.serving.errors import error_body

_Base: Any = AutoHTTPProtocol
_HEADER_SECONDS = 10.0
_HEADER_BYTES = 64 * 1024
_LINGER_SECONDS = 10.0
_SEND_SECONDS = 20.0
_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
}


class PatientProtocol(_Base):
    """uvicorn's protocol, which itself waits for ever for the rest of a header.

    Where it answers before all of a request is here, it closes only when the client
    has, and drops what still comes: a connection closed on unread bytes is reset, and
    the client loses the answer (RFC 9112, section 9.6).

    A client that takes nothing of its answer for `send_seconds` is cut off, and so is
    one that does not take the rest when the connection is to end.
    """

    header_seconds = _HEADER_SECONDS
    linger_seconds = _LINGER_SECONDS
    send_seconds = _SEND_SECONDS

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Starts to wait for a request."""
        # asyncio does so only for sockets that name their protocol, which ours do not.
        # An answer is two writes, and the second would wait for the client's ACK.
        own = transport.get_extra_info("socket")
        if own is not None:
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(_Transport(transport, self))
        self._wait_for_header()

    def data_received(self, data: bytes) -> None:
        """Takes what came, and waits on if it is no whole header yet."""
        if self.transport.is_lingering:
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
            return
        self._header_bytes += len(data)
        if self._header_bytes > _HEADER_BYTES:
            self._refuse(431, f"The header is longer than {_HEADER_BYTES} bytes.")
        elif self._deadline is None:
            self._wait_for_header()

    def on_headers_complete(self) -> None:
        """Keeps a connection of HTTP/1.0 if its client asks for it, as `ab -k` does."""
        super().on_headers_complete()
        cycle = self.cycle
        is_old = self.scope.get("http_version") == "1.0"
        if is_old and cycle.scope is self.scope and self.parser.should_keep_alive():
            cycle.keep_alive = True
            kept = (b"connection", b"keep-alive")
            cycle.default_headers = [*cycle.default_headers, kept]

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        self._stop_waiting()
        self._stop_watching()
        self.transport.lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begins to watch a client that has much of its answer still to take."""
        super().pause_writing()
        self._stop_watching()
        self._stalled = self.loop.call_later(self.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stops watching, as the client has taken some."""
        self._stop_watching()
        super().resume_writing()

    @property
    def is_unread(self) -> bool:
        """Whether more of the request that was answered may come."""
        return self.cycle is not None and self.cycle.more_body

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._refuse(400, msg)

    def _wait_for_header(self) -> None:
        message = f"No request came within {self.header_seconds:g} seconds."
        self._deadline = self.loop.call_later(
            self.header_seconds, self._refuse, 408, message
        )

    def _stop_waiting(self) -> None:
        self._header_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_watching(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _refuse(self, status: int, message: str) -> None:
        if self.transport.is_closing():
            return
        body = error_body(message)
        self.transport.write(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n".encode()
            + body
        )
        self.transport.linger()


def patient_protocol(send_seconds: float) -> type[PatientProtocol]:
    """Returns the protocol, with the time a client has to take a piece of an answer."""
    return type("PatientProtocol", (PatientProtocol,), {"send_seconds": send_seconds})


class _Transport:
    """What uvicorn writes to and closes; it lets a client read before it closes."""

    def __init__(self, inner: asyncio.Transport, protocol: PatientProtocol) -> None:
        self._inner = inner
        self._protocol = protocol
        self._end: asyncio.TimerHandle | None = None
        self._is_lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def is_lingering(self) -> bool:
        """Whether what comes is dropped."""
        return self._end is not None

    def is_closing(self) -> bool:
        """Returns whether nothing more is to be written."""
        return self.is_lingering or self._inner.is_closing()

    def linger(self) -> None:
        """Closes when the client has, or has had its time."""
        if self.is_closing():
            return
        protocol = self._protocol
        self._end = protocol.loop.call_later(protocol.linger_seconds, self.close)
        if self._inner.can_write_eof():
            self._inner.write_eof()
        self._inner.resume_reading()

    def close(self) -> None:
        """Closes, unless the client is still speaking; a second time at once."""
        if self._is_lost:  # That of TLS has forgotten then what it could be asked.
            return
        if self._protocol.is_unread and not self.is_closing():
            self.linger()
            return
        self.forget()
        self._inner.close()
        if self._inner.get_write_buffer_size():
            # asyncio itself waits for ever until the client has taken all.
            self._end = self._protocol.loop.call_later(
                self._protocol.linger_seconds, self._inner.abort
            )

    def lost(self) -> None:
        """Notes that there is no connection any more."""
        self._is_lost = True
        self.forget()

    def forget(self) -> None:
        """Ends what waits for the client."""
        if self._end is not None:
            self._end.cancel()
