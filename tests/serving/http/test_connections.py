import socket
from collections.abc import Callable

from tests.serving.conftest import Live, Served


def test_an_answer_does_not_wait_until_its_beginning_is_acknowledged(
    serve: Callable[..., Served], live: Callable[..., Live]
) -> None:
    running = live(serve())
    with socket.create_connection(("127.0.0.1", running.port), 60) as spoken:
        spoken.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert spoken.recv(65536).startswith(b"HTTP/1.1 200")
        (connection,) = running.server.server_state.connections
        own = connection.transport.get_extra_info("socket")
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
