"""Space, memory, versions of programs, and whether systemd runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

# What a run and what it sets up writes to; a smaller file system may be mounted at any of them.
PLACES = (
    "/",
    "/opt",
    "/opt/nexus",
    "/var",
    "/var/lib",
    "/var/lib/nexusops",
    "/var/lib/caddy",
    "/var/lib/netdata",
    "/var/cache",
    "/var/cache/netdata",
    "/usr",
    "/usr/local",
)
PROGRAMS = {"caddy": ("caddy", "version"), "keepalived": ("keepalived", "--version"), "netdata": ("netdata", "-v")}
FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VERSION = re.compile(r"v?(\d+\.\d+(?:\.\d+)?)")


def has_systemd() -> bool:
    """Return whether systemd is what runs this machine (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def free_space() -> dict[str, int]:
    """Return the bytes that are free for root, by place; places on one file system count once."""
    found: dict[int, str] = {}
    space = {}
    for place in PLACES:
        if not Path(place).is_dir():
            continue
        device = Path(place).stat().st_dev
        if device not in found:
            found[device] = place
            system = os.statvfs(place)
            space[place] = system.f_bfree * system.f_frsize
    return space


def available_memory() -> int:
    """Return the bytes that programs could still get without swapping."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def versions() -> dict[str, str]:
    """Return the versions of those programs that are installed; empty where one does not say it."""
    found = {}
    for name, command in PROGRAMS.items():
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=10,
                env={**os.environ, "PATH": FOLDERS},
            )
        except FileNotFoundError:
            continue
        except (OSError, subprocess.TimeoutExpired):
            found[name] = ""
            continue
        match = VERSION.search(done.stdout + done.stderr)
        found[name] = match.group(1) if match else ""
    return found
