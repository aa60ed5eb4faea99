"""A Flask application that says which host and release answered; gunicorn runs it."""

from __future__ import annotations

import socket
from pathlib import Path

from flask import Flask

app = Flask(__name__)
RELEASE = Path("version.txt").read_text().strip()


@app.get("/")
def index() -> dict[str, str]:
    """Answer a client."""
    return {"host": socket.gethostname(), "release": RELEASE, "service": "web"}


@app.get("/healthz")
def healthz() -> dict[str, bool]:
    """Answer a health check."""
    return {"healthy": True}
