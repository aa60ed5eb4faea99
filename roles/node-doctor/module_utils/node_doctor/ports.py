"""Who listens on which port, as the kernel tells it: no program is needed for it."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

LISTEN, UNCONNECTED = "0A", "07"
TABLES = {"tcp": LISTEN, "tcp6": LISTEN, "udp": UNCONNECTED, "udp6": UNCONNECTED}
SERVICE = re.compile(r"/([^/]+\.(?:service|scope|socket))(?:/|$)")

Listener = dict[str, object]


def listeners(proc: Path = Path("/proc")) -> list[Listener]:
    """Return every listening socket once: `protocol`, `port`, `program` and systemd `unit`, empty where unknown."""
    sockets: dict[str, tuple[str, int]] = {}
    for table, state in TABLES.items():
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == state:
                    sockets[fields[9]] = (table[:3], int(fields[1].rpartition(":")[2], 16))
    owners = _owners(proc, set(sockets))
    found: dict[tuple[str, int], Listener] = {}
    for inode, (protocol, port) in sockets.items():
        pid = owners.get(inode, 0)
        program, unit = _describe(proc, pid)
        if pid == 1:
            unit = _socket_units().get(port, unit)
        found[protocol, port] = {"protocol": protocol, "port": port, "program": program, "unit": unit}
    return [found[key] for key in sorted(found)]


def _owners(proc: Path, inodes: set[str]) -> dict[str, int]:
    """Return the process of each socket; one that systemd handed on belongs to who got it."""
    owners: dict[str, int] = {}
    for folder in proc.iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (folder / "fd").iterdir():
                with contextlib.suppress(OSError):
                    target = str(descriptor.readlink())
                    inode = target[len("socket:[") : -1] if target.startswith("socket:[") else ""
                    if inode in inodes and owners.get(inode, 1) == 1:
                        owners[inode] = int(folder.name)
    return owners


def _describe(proc: Path, pid: int) -> tuple[str, str]:
    try:
        program = (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
        units = SERVICE.findall((proc / str(pid) / "cgroup").read_text(encoding="utf-8"))
    except OSError:
        return "", ""
    return program, units[-1] if units else ""


def _socket_units() -> dict[int, str]:
    """Return the socket units that wait for connections, by port."""
    try:
        done = subprocess.run(
            ["systemctl", "list-sockets", "--no-legend", "--plain"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in done.stdout.splitlines():
        match = re.match(r"\S*:(\d+)\s+(\S+\.socket)", line)
        if match:
            found[int(match.group(1))] = match.group(2)
    return found
