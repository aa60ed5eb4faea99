"""Whether the dashboard shows data, asked of real HTTP servers on loopback."""

from __future__ import annotations

import base64
import dataclasses
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nexus_ops.dashboard_check import data_problem
from nexus_ops.intent.model import Intent, Node

LOGIN = "Basic " + base64.b64encode(b"admin:right").decode()


class Handler(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        good = self.headers["Authorization"] == LOGIN and self.path == "/nexus/netdata/api/v1/info"
        self.send_response(self.status if good else 401)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def lb(intent: Intent) -> Node:
    return dataclasses.replace(intent.nodes["lb1"], address="127.0.0.1")


def test_data_is_there(intent: Intent, lb: Node, port: int) -> None:
    assert data_problem(intent, lb, "right", "", port) == ""


def test_no_data(intent: Intent, lb: Node, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "status", 502)
    assert data_problem(intent, lb, "right", "", port) == "HTTP 502: no parent answers"


def test_another_password(intent: Intent, lb: Node, port: int) -> None:
    assert data_problem(intent, lb, "wrong", "", port) == "HTTP 401: it refuses the password"


def test_out_of_reach_from_here_is_not_judged(intent: Intent, lb: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert data_problem(intent, lb, "right", "", port) == ""
