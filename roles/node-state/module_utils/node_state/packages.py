"""Debian packages: installed only when missing, lists refreshed only when something is to be installed."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.commands import last_words, run
from ansible.module_utils.node_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from subprocess import CompletedProcess

LISTS = Path("/var/lib/apt/lists")
DAY = 86400.0
APT_TIMEOUT = 600.0
"""Seconds to wait until another program has ended its work with apt: a machine's first boot installs updates."""

APT_LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid
PAUSE = 0.5  # seconds
LOCK = f"DPkg::Lock::Timeout={APT_TIMEOUT:.0f}"
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "APT_LISTCHANGES_FRONTEND": "none"}


def lock_owner() -> tuple[str, int] | None:
    """Return the first of apt's and dpkg's locks that another process holds, with its id (0: unknown); None: all free.

    Asks the kernel and takes nothing.
    """
    asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    for path in APT_LOCKS:
        try:
            with Path(path).open("rb") as file:
                kind, _, _, _, pid = struct.unpack(FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
        except FileNotFoundError:
            continue
        if kind != fcntl.F_UNLCK:
            return path, max(pid, 0)
    return None


def busy() -> str:
    """Return which program holds which lock of apt's, in words; empty when none does."""
    owner = lock_owner()
    return f"{_program(owner[1])} holds {owner[0]}" if owner else ""


def apt_get(arguments: Sequence[str], *, timeout: float) -> CompletedProcess[str]:
    """Run apt-get once no other program holds a lock that it needs, and return it, whatever its status.

    apt itself waits for dpkg's lock alone, so all of them are looked at, again when one was taken just before it. The
    holder is never touched. Raises StateError when it still holds the lock after APT_TIMEOUT seconds.
    """
    ends = time.monotonic() + APT_TIMEOUT
    while True:
        while (owner := lock_owner()) is not None:
            if time.monotonic() > ends:
                path, pid = owner
                raise StateError(
                    f"{_program(pid)} still holds {path} after {APT_TIMEOUT / 60:.0f} min; "
                    "wait until it has finished its work with packages, then run this again"
                )
            time.sleep(PAUSE)
        done = run(["apt-get", *arguments], timeout=timeout + APT_TIMEOUT, environment=QUIET)
        if done.returncode == 0 or lock_owner() is None:
            return done


def _program(pid: int) -> str:
    try:
        return f"{Path(f'/proc/{pid}/comm').read_text(encoding='utf-8', errors='replace').strip()} (process {pid})"
    except OSError:
        return f"process {pid}" if pid else "another process"


def _apt_get(arguments: Sequence[str], *, timeout: float) -> None:
    """Run apt-get when it can. Raises StateError with its last words when it fails."""
    done = apt_get(arguments, timeout=timeout)
    if done.returncode != 0:
        raise StateError(f"`apt-get {' '.join(arguments)}` failed (exit {done.returncode}): {last_words(done)}")


def installed(names: Iterable[str]) -> dict[str, str]:
    """Return the version of each of `names` that is installed."""
    names = list(names)
    if not names:
        return {}
    found = run(["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n", *names])
    lines = (line.split(" ") for line in found.stdout.splitlines())
    return {line[0]: line[1] for line in lines if len(line) == 3 and line[2] == "installed"}


def removable(names: Iterable[str], *, purge: bool) -> list[str]:
    """Return which of `names` are installed; with `purge` also those that left their configuration behind."""
    names = list(names)
    if not names:
        return []
    found = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *names])
    wanted = ("installed", "half-installed", "unpacked", "half-configured", *(("config-files",) if purge else ()))
    status = dict(line.split(" ", 1) for line in found.stdout.splitlines())
    return [name for name in names if status.get(name) in wanted]


def remove(names: Iterable[str], *, purge: bool) -> None:
    """Remove packages; with `purge` their configuration and what they call their own, too. Raises StateError."""
    verb = "purge" if purge else "remove"
    _apt_get([verb, "--yes", "-o", LOCK, "-q", *names], timeout=600)


def at_least(version: str, minimum: str) -> bool:
    """Return whether a Debian version is not older than `minimum`."""
    return run(["dpkg", "--compare-versions", version, "ge", minimum]).returncode == 0


def lacking(wanted: Mapping[str, str]) -> list[str]:
    """Return which packages are missing or older than wanted (`wanted`: name to minimum version, may be empty)."""
    present = installed(wanted)
    return [
        name
        for name, minimum in wanted.items()
        if name not in present or (minimum and not at_least(present[name], minimum))
    ]


def candidates(names: Iterable[str]) -> dict[str, str]:
    """Return the version apt would install, for each of `names` that it knows."""
    found: dict[str, str] = {}
    name = ""
    for line in run(["apt-cache", "policy", *names]).stdout.splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found[name] = line.split(":", 1)[1].strip()
    return found


def lists_are_old() -> bool:
    """Return whether apt's lists are missing or older than a day."""
    times = [path.stat().st_mtime for path in LISTS.glob("*_*")] if LISTS.is_dir() else []
    # A list keeps the server's time; the folder changes with every refresh that brought something.
    newest = max([LISTS.stat().st_mtime, (LISTS / "partial").stat().st_mtime]) if (LISTS / "partial").is_dir() else 0.0
    return not times or time.time() - max(newest, *times) > DAY


def install(wanted: Mapping[str, str], *, refresh: bool = False) -> None:
    """Install packages, without recommended ones, keeping changed configuration files.

    `wanted` is name to minimum version (may be empty). `refresh`: the sources changed. Raises StateError.
    """

    def too_old() -> list[str]:
        known = candidates(wanted)
        return [
            name
            for name, minimum in wanted.items()
            if name not in known or (minimum and not at_least(known[name], minimum))
        ]

    if refresh or lists_are_old() or too_old():
        done = apt_get(["update", "-o", LOCK, "-q"], timeout=600)
        problem = "" if done.returncode == 0 else f" (apt-get update failed: {last_words(done, 2)})"
        for name in too_old():
            version = candidates([name]).get(name)
            offer = f"only {version}" if version else "no such package"
            minimum = f" {wanted[name]} or newer" if wanted[name] else ""
            raise StateError(
                f"package {name}{minimum} cannot be installed: the node's apt sources have {offer}{problem}"
            )
    options = ["-o", LOCK, "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-q"]
    _apt_get(["install", "--yes", "--no-install-recommends", *options, *wanted], timeout=1200)
