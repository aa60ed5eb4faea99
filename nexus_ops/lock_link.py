"""One connection to a node's `lock_holder.py`: over ssh with the settings of Ansible's runs, or on this machine."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_ops import lock_holder
from nexus_ops.errors import NexusError
from nexus_ops.ssh import ssh_command
from nexus_ops.text import all_visible, visible

if TYPE_CHECKING:
    from nexus_ops.environment import Environment
    from nexus_ops.intent.model import Node

CONNECT_SECONDS = 3
PYTHON = "/usr/bin/python3"

Message = dict[str, Any]


def link_command(environment: Environment, node: Node, *, with_password: bool = False) -> list[str]:
    """Return the call that starts the holder on `node`, as root there.

    `with_password`: sudo may ask for one, which it takes from the first line of the input.
    """
    source = base64.b64encode(Path(lock_holder.__file__).read_bytes()).decode()
    # One line of plain characters: the user's login shell there may be any (csh takes no line breaks in quotes).
    program = [PYTHON, "-c", f"import base64; exec(base64.b64decode({source!r}))", "nexus-ops-lock"]
    # Without what sudo remembers of earlier passwords: whether it reads one is then known.
    sudo = ["sudo", "-k", "-S", "-p", "", *program] if with_password else ["sudo", "-n", *program]
    if node.address == "localhost":
        return program if os.geteuid() == 0 else sudo
    remote = shlex.join(program if node.ssh.user == "root" else sudo)
    return [*ssh_command(environment, node, connect_timeout=CONNECT_SECONDS, alive_count=3), remote]


class Link:
    """The connection to one node. `state` is `asked`, `ready` or `gone`; `reason` says in words why it is gone.

    `messages` are the holder's lines, None at their end.
    """

    def __init__(self, name: str, command: Sequence[str], password: str = "") -> None:
        """Start to connect by `command` and return at once; sudo may ask for the `password`.

        Raises NexusError when it is not installed.
        """
        self.name = name
        self.state = "asked"
        self.reason = ""
        self.messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for us: the lock is held until Ansible has ended
            )
        except FileNotFoundError as error:
            raise NexusError(
                f"{error.filename} is not installed", next_step="install it, then run this again"
            ) from None
        if password:
            self._send(password)
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, order: Mapping[str, Any], patience: float) -> Message | None:
        """Send `order` and return the answer, None when there is none within `patience` seconds."""
        self._send(json.dumps(order))
        try:
            return self.messages.get(timeout=patience)
        except queue.Empty:
            self.reason = "no answer"
            return None

    def beat(self) -> None:
        """Give a sign of life."""
        self._send("")

    def close(self) -> None:
        """End the connection, and with it what was held."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=0.5 if self.state == "ready" else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, line: str) -> None:
        # A connection that is gone is told by what is read.
        with contextlib.suppress(OSError, ValueError):
            if self._process.stdin is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()

    def _read(self) -> None:
        process = self._process
        if process.stdout is None or process.stderr is None:
            return
        other = ""
        for line in process.stdout:
            try:
                message = all_visible(json.loads(line))
            except ValueError:  # what a login prints
                other = line.strip() or other
                continue
            if self.state == "asked":
                self.state = "ready"
            else:
                self.messages.put(message)
        lines = [visible(text.strip()) for text in process.stderr.read().splitlines() if text.strip()]
        self.reason = self.reason or (lines[-1].removeprefix("ssh: ") if lines else other or "the connection ended")
        self.state = "gone"
        self.messages.put(None)
