"""Limits of this machine's kernel that all hosts share, since they run as its root user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nexus_ops.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Callable

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")  # inotify(7): instances for each real user id; 128 by default
PER_HOST = 6  # systemd holds 5, dbus 1
HEADROOM = 64  # for services in the hosts, and for what else root runs here
STEP = 128


def wanted_instances(limit: int, used: int, hosts: int) -> int:
    """Return the limit of inotify instances that lets `hosts` more hosts boot: `limit` when that is enough."""
    needed = used + hosts * PER_HOST + HEADROOM
    return limit if needed <= limit else -(-needed // STEP) * STEP


def ensure_room(hosts: int, say: Callable[[str], None]) -> None:
    """Raise the kernel's limit of inotify instances, until its next boot, when `hosts` more hosts would not boot.

    A systemd that gets none exits at once and says nothing. Raises NexusError when the limit cannot be raised.
    """
    if hosts == 0:
        return
    limit = int(INOTIFY.read_text())
    wanted = wanted_instances(limit, count_instances(), hosts)
    if wanted == limit:
        return
    try:
        INOTIFY.write_text(f"{wanted}\n")
    except OSError as error:
        raise NexusError(
            f"this machine has too few inotify instances for {hosts} more hosts ({limit}; {wanted} are needed)",
            next_step=f"as root on the machine itself: sysctl fs.inotify.max_user_instances={wanted}",
        ) from error
    say(f"raised fs.inotify.max_user_instances from {limit} to {wanted}, until the next boot of this machine")


def count_instances() -> int:
    """Return how many inotify instances the processes of root hold here, those inside containers included."""
    return sum(_is_inotify(descriptor) for process in _processes_of_root() for descriptor in _descriptors(process))


def _processes_of_root() -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == 0:
                found.append(process)
        except OSError:  # it ended meanwhile
            continue
    return found


def _descriptors(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:
        return []


def _is_inotify(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()) == "anon_inode:inotify"
    except OSError:
        return False
