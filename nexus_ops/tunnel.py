"""The dashboard through ssh: a forward to a parent that answers, and to the next one when it dies."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from nexus_ops.dashboard import PARENT_PORT, Attempt, Candidate, Resolution, local_page, try_page
from nexus_ops.errors import NexusError
from nexus_ops.intent.model import Intent, Node
from nexus_ops.ssh import ssh_command

if TYPE_CHECKING:
    from nexus_ops.environment import Environment

CONNECT_SECONDS = 5
START_PATIENCE = 15.0
"""Seconds that a tunnel has until the page answers through it."""

RETRY_SECONDS = 2.0


def tunnel_command(environment: Environment, node: Node, port: int) -> list[str]:
    """Return the call that forwards this machine's `port` to the parent on `node`: the inventory's ssh settings."""
    forward = ("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:{PARENT_PORT}")
    return ssh_command(environment, node, *forward, connect_timeout=CONNECT_SECONDS, alive_count=2)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


class Tunnel:
    """A forward to one parent at a time, always at the same local port."""

    def __init__(self, environment: Environment, intent: Intent) -> None:
        """Prepare a tunnel to the managers of `intent`; nothing is started yet."""
        self._environment, self._intent = environment, intent
        self._parents = intent.parents
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # A pipe that nobody reads would stop ssh when it is full.
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  as long as the tunnel

    def open(self) -> Resolution:
        """Connect to the first parent whose page answers and return its address, or why there is none.

        Raises NexusError when ssh is not installed.
        """
        tried: list[Attempt] = []
        for node in self._parents:
            local = node.address == "localhost"
            candidate = local_page(PARENT_PORT, "parent", node) if local else local_page(self._port, "tunnel", node)
            reason = self._connect(node, candidate)
            tried.append(Attempt(candidate, reason))
            if not reason:
                return Resolution(candidate, tuple(tried))
        return Resolution(None, tuple(tried))

    def stay(self, say: Callable[[str], None]) -> None:
        """Keep the tunnel until this process is asked to stop; a parent that is lost gives way to the next one."""
        while True:
            if self._process is None:  # this machine's own parent: nothing to keep
                threading.Event().wait()
                continue
            self._process.wait()
            say("the connection is lost; trying the parents again")
            while (found := self.open()).chosen is None:
                time.sleep(RETRY_SECONDS)
            say(f"connected again, to {found.chosen.node}")

    def close(self) -> None:
        """End the connection."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _connect(self, node: Node, candidate: Candidate) -> str:
        """Start ssh to `node` and wait until the page answers through it; return the reason why it does not."""
        self.close()
        if candidate.via == "parent":
            return try_page(self._environment, self._intent, candidate)
        command = tunnel_command(self._environment, node, self._port)
        try:
            self._process = self._start(command)
        except FileNotFoundError:
            raise NexusError("ssh is not installed", next_step="install openssh-client") from None
        deadline = time.monotonic() + START_PATIENCE
        reason = "no answer"
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return self._last_words() or f"ssh ended with {self._process.returncode}"
            if _listens(self._port):
                reason = try_page(self._environment, self._intent, candidate)
                break
            time.sleep(0.05)
        if reason:
            self.close()
        return reason

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        self._errors.seek(0)
        self._errors.truncate()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for us: we end it
        )

    def _last_words(self) -> str:
        self._process = None
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return lines[-1].removeprefix("ssh: ") if lines else ""


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that ssh is ended with us."""

    def stop(number: int, frame: Any) -> None:  # noqa: ARG001  the signature of a handler
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
