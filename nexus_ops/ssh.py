"""ssh to nodes: one list of options for Ansible, the lock and the tunnel, and the way to a node's ssh server."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_ops.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_ops.environment import Environment
    from nexus_ops.intent.model import Node

ANSIBLE_ARGUMENTS = (
    """-o {{ ('UserKnownHostsFile="' ~ inventory_dir ~ '/known_hosts"') | quote }}"""
    " -o StrictHostKeyChecking=yes -o ConnectTimeout=10"
    " -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
    " -o ForwardAgent=no"  # root of a node could use it
    # An agent with many keys would use up the server's MaxAuthTries before the key that nexus.yml names is tried.
    "{{ ' -o IdentitiesOnly=yes' if ansible_ssh_private_key_file | default('') else '' }}"
)
"""What hosts.yml tells Ansible (`ansible_ssh_common_args`)."""

JUMP = re.compile(r"(?:ssh://)?(?:(?P<user>.+)@)?(?:\[(?P<bracketed>[^]]+)\]|(?P<host>[^:]+))(?::(?P<port>\d+))?/?")

PROXY_TIMEOUT = 8.0
"""Seconds that a node behind a proxy has to greet: the connection to the proxy is made first."""


def ssh_command(
    environment: Environment, node: Node, *arguments: str, connect_timeout: int, alive_count: int
) -> list[str]:
    """Return a call of ssh to `node` without the remote command: pinned host keys, nothing asked, no shared connection.

    `arguments` are further options of ssh. A connection is given up after `connect_timeout` seconds while it is made,
    and after `alive_count` times 5 s without an answer later.
    """
    options = [
        "BatchMode=yes",
        f'UserKnownHostsFile="{environment.known_hosts}"',
        "StrictHostKeyChecking=yes",
        "ForwardAgent=no",
        f"ConnectTimeout={connect_timeout}",
        "ServerAliveInterval=5",
        f"ServerAliveCountMax={alive_count}",
        "ControlMaster=no",
        "ControlPath=none",
    ]
    identity = []
    if node.ssh.private_key_file:
        options.append("IdentitiesOnly=yes")
        identity = ["-i", str(environment.folder / Path(node.ssh.private_key_file).expanduser())]
    return [
        *("ssh", "-T", *(part for option in options for part in ("-o", option)), *identity),
        *("-p", str(node.ssh.port), *arguments, "--", f"{node.ssh.user}@{node.address}"),
    ]


def proxy_command(user: str, address: str, port: int) -> list[str]:
    """Return a command whose input and output are a connection to an ssh server, empty where none is needed.

    It is needed where the user's ssh configuration has a ProxyJump or ProxyCommand for that server (ssh_config(5)).
    Raises NexusError when ssh is not installed.
    """
    call = ["ssh", "-G", "-p", str(port), "--", f"{user}@{address}"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=10)
    except FileNotFoundError:
        raise NexusError("ssh is not installed", next_step="install openssh-client") from None
    except subprocess.TimeoutExpired:
        return []
    settings = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    host = settings.get("hostname", address)
    jump, command = settings.get("proxyjump", "none"), settings.get("proxycommand", "none")
    if jump != "none":
        *first, last = jump.split(",")
        through = ["-J", ",".join(first)] if first else []
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return ["ssh", "-o", "BatchMode=yes", *through, "-W", target, *_jump_arguments(last)]
    if command != "none":
        values = {"%h": host, "%n": address, "%p": str(port), "%r": user}
        values = {token: shlex.quote(value) for token, value in values.items()} | {"%%": "%"}
        command = re.sub("%[hnpr%]", lambda found: values[found[0]], command)
        return ["sh", "-c", f"exec {command}"]
    return []


def _jump_arguments(jump: str) -> list[str]:
    """Return the arguments of ssh for `[user@]host[:port]` of a ProxyJump: IPv6 fits in no ssh:// URI."""
    found = JUMP.fullmatch(jump)
    if found is None:
        return [jump]
    user, host, port = found["user"], found["host"] or found["bracketed"], found["port"]
    return [*(["-l", user] if user else []), *(["-p", port] if port else []), host]


def silence(user: str, address: str, port: int, timeout: float) -> str:
    """Return why the ssh server at `address` does not greet within `timeout` seconds, "" when it does.

    Behind a proxy of the user's ssh configuration it has PROXY_TIMEOUT. Raises NexusError when ssh is not installed.
    """
    proxy = proxy_command(user, address, port)
    if proxy:
        return _silence_behind(proxy, address, port)
    try:
        with socket.create_connection((address, port), timeout) as connection:
            return "" if connection.recv(4) else "its ssh server hung up"  # RFC 4253, section 4.2: it speaks first
    except TimeoutError:
        return f"no answer from {address} port {port} within {timeout:g} s"
    except OSError as error:
        return f"{address} port {port}: {error.strerror or error}"


def _silence_behind(proxy: Sequence[str], address: str, port: int) -> str:
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            proxy, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
        timer = threading.Timer(PROXY_TIMEOUT, process.kill)
        timer.start()
        try:
            greeting = process.stdout.read(4) if process.stdout else b""
            if not greeting:
                process.wait()  # its reason may come last; the timer ends it
        finally:
            late = not timer.is_alive()
            timer.cancel()
            process.kill()
            process.communicate()
        if greeting:
            return ""
        errors.seek(0)
        lines = [line.strip() for line in errors.read().splitlines() if line.strip()]
    if late or not lines:
        return f"no answer from {address} port {port} through the proxy of the ssh configuration"
    return f"{address} port {port} through the proxy of the ssh configuration: {lines[-1]}"


def shown_host_key(user: str, address: str, port: int, timeout: int) -> tuple[str, str]:
    """Return the line of known_hosts with the key that the server shows on the way that ssh takes to it, or a reason.

    One of the two is empty. The server proves to have that key; nobody logs in. `timeout` is in seconds.
    """
    with tempfile.TemporaryDirectory(prefix="nexus-ops-") as folder:
        found = Path(folder, "known_hosts")
        options = [
            *("BatchMode=yes", f'UserKnownHostsFile="{found}"', "GlobalKnownHostsFile=/dev/null"),
            *("StrictHostKeyChecking=accept-new", "HashKnownHosts=no", "UpdateHostKeys=no", "ControlPath=none"),
            *("PubkeyAuthentication=no", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no"),
            *("GSSAPIAuthentication=no", "HostbasedAuthentication=no", f"ConnectTimeout={timeout}"),
        ]
        call = ["ssh", "-T", *(part for option in options for part in ("-o", option)), "-p", str(port)]
        said = ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            said = subprocess.run(
                [*call, "--", f"{user}@{address}", "exit"],
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                check=False,
                timeout=timeout * 3,
            ).stderr
        line = found.read_text(encoding="utf-8").strip() if found.exists() else ""
    reasons = [text.strip() for text in said.splitlines() if text.strip()]
    return line, "" if line else (reasons[-1] if reasons else "no answer")
