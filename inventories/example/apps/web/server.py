"""A small service: / greets and says which machine answered, /healthz says that all is well."""

from __future__ import annotations

import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers GET requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with a line of text."""
        if self.path == "/healthz":
            self._answer(200, "ok\n")
        elif self.path == "/":
            self._answer(200, f"{os.environ.get('GREETING', 'hello')} from {socket.gethostname()}\n")
        else:
            self._answer(404, "not found\n")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing: the load balancers log requests."""


class Server(ThreadingHTTPServer):
    """Finishes the requests it has begun before it ends."""

    daemon_threads = False
    request_queue_size = 128


def main() -> None:
    """Serve on $PORT until SIGTERM."""
    server = Server(("", int(os.environ["PORT"])), Handler)
    # shutdown() waits for serve_forever(), which this thread runs: another one has to call it.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
