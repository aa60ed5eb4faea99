"""Debian packages: installed only when missing, lists refreshed only when something is to be installed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.node_state.commands import checked, last_words, run
from ansible.module_utils.node_state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LISTS = Path("/var/lib/apt/lists")
DAY = 86400.0
LOCK = "DPkg::Lock::Timeout=120"
QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l", "APT_LISTCHANGES_FRONTEND": "none"}


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
    checked(["apt-get", verb, "--yes", "-o", LOCK, "-q", *names], timeout=600, environment=QUIET)


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
        done = run(["apt-get", "update", "-o", LOCK, "-q"], timeout=600, environment=QUIET)
        problem = "" if done.returncode == 0 else f" (apt-get update failed: {last_words(done, 2)})"
        for name in too_old():
            version = candidates([name]).get(name)
            offer = f"only {version}" if version else "no such package"
            minimum = f" {wanted[name]} or newer" if wanted[name] else ""
            raise StateError(
                f"package {name}{minimum} cannot be installed: the node's apt sources have {offer}{problem}"
            )
    options = ["-o", LOCK, "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-q"]
    checked(
        ["apt-get", "install", "--yes", "--no-install-recommends", *options, *wanted],
        timeout=1200,
        environment=QUIET,
    )
