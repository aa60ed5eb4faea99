"""Is a service healthy? Asked on the node, before any load balancer does."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.node_state import StateError
from ansible.module_utils.node_state.answers import answer_of
from ansible.module_utils.node_state.commands import checked

PAUSE = 0.1  # seconds between two questions
IN_A_ROW = 2
STARTS = 5  # so often a service may exit while it comes up
LISTENING = "0A"  # the state in /proc/net/tcp (include/net/tcp_states.h)
LOOPBACK = re.compile(r"[0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F")


@dataclass(frozen=True)
class Process:
    """What systemd says of a service's process."""

    active: bool
    state: str
    pid: int
    restarts: int
    group: str  # its control group, as in /proc/PID/cgroup
    exit: str
    has_exited: bool
    invocation: str  # another one for each start that somebody asked for

    @classmethod
    def of(cls, unit: str) -> Process:
        """Ask systemd. Raises StateError."""
        wanted = "ActiveState,SubState,MainPID,NRestarts,ControlGroup,ExecMainStatus,InvocationID"
        lines = checked(["systemctl", "show", "--property", wanted, "--", unit]).splitlines()
        said = dict(line.split("=", 1) for line in lines)
        return cls(
            active=said["ActiveState"] == "active" and said["SubState"] == "running",
            state=f"{said['ActiveState']} ({said['SubState']})",
            pid=int(said["MainPID"]),
            restarts=int(said["NRestarts"]),
            group=said.get("ControlGroup", ""),
            exit=said.get("ExecMainStatus", ""),
            has_exited=said["SubState"] in ("auto-restart", "failed", "dead"),
            invocation=said.get("InvocationID", ""),
        )


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket."""

    loopback: bool
    inode: str


def listeners(port: int) -> list[Listener]:
    """Return who listens on a TCP port of this node."""
    found = tcp_sockets(port)
    return [
        Listener(LOOPBACK.fullmatch(address) is not None, inode)
        for address, state, inode in found
        if state == LISTENING
    ]


def tcp_sockets(port: int) -> list[tuple[str, str, str]]:
    """Return own address, state and inode of each TCP socket at a port of this node, as /proc/net/tcp writes them."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # no IPv6
        for fields in (line.split() for line in lines):
            address, _, number = fields[1].partition(":")
            if int(number, 16) == port:
                found.append((address, fields[3], fields[9]))
    return found


def sockets_of(group: str) -> set[str]:
    """Return the inodes of the sockets that a control group's processes have open."""
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            groups = [line.split(":", 2)[2] for line in (process / "cgroup").read_text().splitlines()]
            if not any(f"{own}/".startswith(f"{group}/") for own in groups):
                continue
            links = [str(path.readlink()) for path in (process / "fd").iterdir()]
        except OSError:
            continue  # ended meanwhile
        found.update(link[len("socket:[") : -1] for link in links if link.startswith("socket:["))
    return found


def unanswered(port: int, path: str, timeout: float) -> str:
    """Return why the service does not answer at the loopback address, "" when it does."""
    problem = answer_of("127.0.0.1", port, path, timeout)
    if "refused" in problem and listeners(port):
        return f"{problem}; it listens on another address alone; have it use 0.0.0.0"
    return problem


def _doubt(port: int, process: Process) -> str:
    """Return what is wrong with a port that answers: another's, or one that no load balancer can reach."""
    there = listeners(port)
    own = sockets_of(process.group) if there else set()
    if there and not any(listener.inode in own for listener in there):
        return f"another program on this node has port {port} (`ss -ltnp` shows which); stop it, or take another port"
    if there and all(listener.loopback for listener in there):
        return (
            f"it listens on the loopback address only, where no load balancer reaches port {port}; have it use 0.0.0.0"
        )
    return ""


def wait_until_healthy(unit: str, port: int, path: str, timeout: float, limit: float) -> None:
    """Wait until the service answered twice in a row out of the same process.

    `timeout` is for one answer, `limit` for all of it, in seconds. Raises StateError with the last reason against it.
    """
    ends = time.monotonic() + limit
    before = Process.of(unit)
    row, pid, exit_status = 0, 0, before.exit
    while True:
        process = Process.of(unit)
        if process.has_exited:  # while it starts again, its status is 0
            exit_status = process.exit
        problem = f"it is {process.state}, its last exit status was {exit_status}" if not process.active else ""
        problem = problem or unanswered(port, path, timeout) or _doubt(port, process)
        row = 0 if problem else row + 1 if process.pid == pid else 1
        pid = process.pid
        if row >= IN_A_ROW:
            return
        if process.restarts - before.restarts >= STARTS:
            raise StateError(f"it keeps exiting ({STARTS} times), its last exit status was {exit_status}")
        if time.monotonic() > ends:
            longer = "service_deploy_start_timeout in group_vars gives more"
            raise StateError(f"{problem or 'its process changes'} (waited {limit:g} s; {longer})")
        time.sleep(PAUSE)
