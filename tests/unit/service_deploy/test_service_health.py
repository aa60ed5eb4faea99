from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible.module_utils.node_state.answers import answer_of
from ansible.module_utils.service_deploy import health


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/good": 204, "/bad": 503}.get(self.path, 404))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_answer_with_success_is_healthy(port: int) -> None:
    assert answer_of("127.0.0.1", port, "/good", 1) == ""
    assert answer_of("127.0.0.1", port, "", 1) == ""


def test_other_answers_are_named(port: int) -> None:
    assert answer_of("127.0.0.1", port, "/bad", 1) == f"GET http://127.0.0.1:{port}/bad: 503 Service Unavailable"


def test_silence_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert answer_of("127.0.0.1", port, "/", 0.2).endswith("no answer within 0.2 s")


@pytest.mark.parametrize("part", [b"HTTP/1.1 100 Continue\r\n\r\n", b"H", b"HTTP/1.1 200 OK\r\nX: y\r\n"])
def test_an_answer_without_end_is_given_up(part: bytes) -> None:
    """Each part comes well within the timeout of a socket."""

    def dribble(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            while True:
                connection.sendall(part)
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=dribble, args=(server,), daemon=True).start()
        began = time.monotonic()
        assert answer_of("127.0.0.1", server.getsockname()[1], "/", 0.5).endswith("no answer within 0.5 s")
        assert time.monotonic() - began < 2


def test_closed_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert answer_of("127.0.0.1", port, "", 1) == f"connect to 127.0.0.1:{port}: Connection refused"


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="Linux only")  # noqa: PTH110
def test_a_listener_on_another_address_is_named() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        problem = health.unanswered(server.getsockname()[1], "/healthz", 1)
    assert problem.endswith("Connection refused; it listens on another address alone; have it use 0.0.0.0")


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="Linux only")  # noqa: PTH110
@pytest.mark.parametrize(("address", "loopback"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_listeners_on_the_loopback_address_are_told_apart(address: str, loopback: bool) -> None:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
        assert [listener.loopback for listener in health.listeners(port)] == [loopback]


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("0100007F", True),
        ("00000000", False),
        ("0B05B10A", False),
        ("00000000000000000000000001000000", True),
        ("00000000000000000000000000000000", False),
        ("0000000000000000FFFF00000100007F", True),
    ],
)
def test_addresses_as_the_kernel_writes_them(address: str, loopback: bool) -> None:
    assert (health.LOOPBACK.fullmatch(address) is not None) is loopback
