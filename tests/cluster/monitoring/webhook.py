"""A webhook: a small HTTP server, outside the cluster, that keeps what it is sent."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

PATH = "/hook/secret-token"


@dataclass(frozen=True)
class Alert:
    """One alert, and when it came, in seconds of the monotonic clock."""

    came: float
    document: dict[str, Any]

    def __str__(self) -> str:
        """Return its names and its text, for assertion messages."""
        about = "/".join(str(self.document.get(key)) for key in ("node", "alarm", "status"))
        return f"{about}: {self.document.get('text')}"


@dataclass
class Webhook:
    """Listens at `address`, for the length of a `with` block. `status` is what it answers with."""

    address: str
    status: int = 200
    alerts: list[Alert] = field(default_factory=list)
    _handler: type[BaseHTTPRequestHandler] = field(init=False, repr=False)
    _server: ThreadingHTTPServer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Bind a free port."""
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            """Takes POSTs to the one path."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path == PATH and webhook.status < 300:
                    webhook.alerts.append(Alert(time.monotonic(), json.loads(body)))
                self.send_response(webhook.status if self.path == PATH else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler
        self._server = self._listen(0)

    @property
    def url(self) -> str:
        """Return where alerts are to be sent."""
        return f"http://{self.address}:{self._server.server_port}{PATH}"

    def find(self, *, since: float = 0, **wanted: str) -> list[Alert]:
        """Return the alerts that came after `since` and have these values, `alarm` as the beginning of its name."""
        return [
            alert
            for alert in self.alerts
            if alert.came >= since
            and all(
                str(alert.document.get(key, "")).startswith(value)
                if key == "alarm"
                else alert.document.get(key, "").lower() == value
                for key, value in wanted.items()
            )
        ]

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Refuse all connections for the length of a `with` block."""
        port = self._server.server_port
        self._stop()
        try:
            yield
        finally:
            self._server = self._listen(port)
            self._start()

    def _listen(self, port: int) -> ThreadingHTTPServer:
        return ThreadingHTTPServer((self.address, port), self._handler)

    def _start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def _stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        """Start to listen."""
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening: the port is closed afterwards."""
        self._stop()
