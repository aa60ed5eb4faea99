"""The service under test: says which host and release answered, and records every POST it processes durably.

`GET /`, `GET /slow?ms=N`, `GET /drip?ms=N` (begins at once, ends after N ms), `GET /ws` (a websocket that says the
release again and again), `POST /?ms=N` (records the id, then waits, then answers), `GET /healthz` (200, or
the status that is in `$STATE_DIRECTORY/unhealthy`). On SIGTERM it finishes what it has accepted.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import signal
import socket
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

STOPPING = threading.Event()
WEBSOCKET_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
STATE = Path(os.environ.get("STATE_DIRECTORY") or ".")
RELEASE = Path.cwd().name
MAX_BODY = 1 << 16
MAX_DELAY_MS = 10_000


class Journal:
    """The ids that were processed, one JSON line each, on disk before the answer goes out."""

    def __init__(self, path: Path) -> None:
        """Open `path` for appending."""
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()

    def record(self, entry: dict[str, Any]) -> None:
        """Append `entry` durably."""
        line = json.dumps(entry).encode() + b"\n"
        with self._lock:
            self._file.write(line)
            os.fsync(self._file.fileno())


class Server(ThreadingHTTPServer):
    """A thread a connection; `server_close` waits for them."""

    daemon_threads = False
    request_queue_size = 256
    address_family = socket.AF_INET6

    def __init__(self, port: int, journal: Journal) -> None:
        """Listen on `port` of every address, IPv4 and IPv6."""
        self.journal = journal
        super().__init__(("::", port), Handler)

    def server_bind(self) -> None:
        """Take IPv4 connections too."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "", self.server_address[1]

    def finish(self) -> None:
        """Serve the connections that wait to be accepted, then wait for all answers."""
        self.timeout = 0
        self.socket.setblocking(False)
        while self._one_waiting():
            pass
        self.server_close()

    def _one_waiting(self) -> bool:
        try:
            request, address = self.socket.accept()
        except BlockingIOError:
            return False
        request.setblocking(True)
        self.process_request(request, address)
        return True


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # an answer leaves in one piece: a process that is killed has not begun one that it cannot end

    def do_GET(self) -> None:
        """Answer `/`, `/slow` and `/healthz`."""
        path = urlsplit(self.path).path
        if path == "/healthz":
            unhealthy = STATE / "unhealthy"
            status = HTTPStatus(int(unhealthy.read_text())) if unhealthy.exists() else HTTPStatus.OK
            self._answer(status, {"healthy": status == HTTPStatus.OK})
            return
        if path == "/drip":
            self._drip()
            return
        if path == "/ws":
            self._websocket()
            return
        if path not in {"/", "/slow"}:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "no such page"})
            return
        self._delay()
        self._answer(HTTPStatus.OK, {})

    def do_POST(self) -> None:
        """Record the id in the body, then answer."""
        length = min(int(self.headers.get("Content-Length", 0)), MAX_BODY)
        request_id = json.loads(self.rfile.read(length))["id"]
        self.server.journal.record(
            {
                "id": request_id,
                "keyed": "Idempotency-Key" in self.headers,
                "time": time.time(),
                "host": socket.gethostname(),
            }
        )
        self._delay()
        self._answer(HTTPStatus.OK, {"id": request_id})

    def _delay(self) -> None:
        time.sleep(self._seconds())

    def _seconds(self) -> float:
        wanted = int(parse_qs(urlsplit(self.path).query).get("ms", ["0"])[0])
        return max(0, min(wanted, MAX_DELAY_MS)) / 1000

    def _drip(self) -> None:
        """Answer at once, and be through with it only at the end of the time that was asked for."""
        seconds = self._seconds()
        steps = max(1, round(seconds / 0.25))
        head = json.dumps({"host": socket.gethostname(), "release": RELEASE}).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(head) + steps))
        self.end_headers()
        self.wfile.write(head)
        self.wfile.flush()
        for _ in range(steps):
            time.sleep(seconds / steps)
            self.wfile.write(b" ")
            self.wfile.flush()

    def _websocket(self) -> None:
        """Say the release five times a second, until the peer is gone or this server stops (RFC 6455)."""
        digest = hashlib.sha1(
            (self.headers["Sec-WebSocket-Key"] + WEBSOCKET_KEY).encode(), usedforsecurity=False
        ).digest()
        self.send_response(HTTPStatus.SWITCHING_PROTOCOLS)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        text = json.dumps({"host": socket.gethostname(), "release": RELEASE}).encode()
        with contextlib.suppress(OSError):
            while not STOPPING.wait(0.2):
                self.wfile.write(bytes([0x81, len(text)]) + text)
                self.wfile.flush()
            self.wfile.write(bytes([0x88, 2, 0x03, 0xE9]))  # going away
            self.wfile.flush()

    def _answer(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        identity = {"host": socket.gethostname(), "release": RELEASE, "service": os.environ.get("SERVICE_NAME", "")}
        body = json.dumps({**identity, **document}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Stay silent: the journal of a host is not what is under test."""


def main() -> None:
    """Serve `$PORT` until SIGTERM."""
    server = Server(int(os.environ["PORT"]), Journal(STATE / "posts.jsonl"))

    def stop(*_: object) -> None:
        STOPPING.set()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.05)
    server.finish()


if __name__ == "__main__":
    main()
