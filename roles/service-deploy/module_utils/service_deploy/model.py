"""A service on this node, and where its parts lie."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.node_state import StateError

KEPT = Path("/var/lib/nexusops")  # no service's: systemd makes theirs, /var/lib/nexus-NAME, and gives it to the service
KEPT_BEFORE = Path("/var/lib/nexus-ops")  # which is that of a service called ops
RECORDS = "services"  # what is known to work here
HISTORY = "history"  # what became of each release
ROLLOUTS = "rollouts"  # what ran before the rollout that is under way, or was the last
PENDING = Path("/run/nexus-ops/service-deploy/pending")  # activations that have begun and not ended
SETTINGS = Path("/etc/nexus-ops/services")
UNITS = Path("/etc/systemd/system")
UNIT_PREFIX = "nexus-service-"

NAME = re.compile(r"[a-z][a-z0-9-]{0,24}")  # useradd takes 32 characters, `nexus-` included
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def kept(kind: str) -> Path:
    """Return the folder of RECORDS, HISTORY or ROLLOUTS: root's alone, kept over reboots."""
    return (KEPT_BEFORE if has_former() else KEPT) / kind


def has_former() -> bool:
    """Return whether what is kept still lies where earlier versions had it, and nobody but root could write there."""
    try:
        found = KEPT_BEFORE.lstat()
    except FileNotFoundError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
    return ours and (KEPT_BEFORE / RECORDS).is_dir() and not (KEPT / RECORDS).exists()


def seconds_of(duration: str) -> float:
    """Return a duration as the intent writes it (`500ms`, `1s`, `2m`) in seconds. Raises StateError."""
    match = DURATION.fullmatch(str(duration))
    if match is None:
        raise StateError(f"{duration!r} is no duration; write 500ms, 1s or 2m")
    return float(match.group(1)) * SECONDS[match.group(2)]


@dataclass(frozen=True)
class Place:
    """Where the parts of the service called `name` lie on a node. `root` is service_deploy_root."""

    name: str
    root: Path

    @property
    def user(self) -> str:
        """Return the account the service runs as; its group has the same name."""
        return f"nexus-{self.name}"

    @property
    def unit(self) -> str:
        """Return the systemd unit's name."""
        return f"{UNIT_PREFIX}{self.name}.service"

    @property
    def unit_file(self) -> Path:
        """Return where the unit is written."""
        return UNITS / self.unit

    @property
    def environment_file(self) -> Path:
        """Return the file with the variables of the running service; for root alone."""
        return SETTINGS / f"{self.name}.env"

    @property
    def folder(self) -> Path:
        """Return the folder of all the service's releases."""
        return self.root / self.name

    @property
    def home(self) -> Path:
        """Return the home folder, which keeps what `setup` may use again (caches of pip, npm)."""
        return self.folder / "home"

    @property
    def releases(self) -> Path:
        """Return the folder that holds one folder a release."""
        return self.folder / "releases"

    @property
    def current(self) -> Path:
        """Return the link to the release that runs."""
        return self.folder / "current"

    @property
    def record(self) -> Path:
        """Return the file that says what is known to work here."""
        return kept(RECORDS) / f"{self.name}.json"

    @property
    def history(self) -> Path:
        """Return the file that says what became of each release."""
        return kept(HISTORY) / f"{self.name}.json"

    @property
    def rollout(self) -> Path:
        """Return the file that says what ran before the last rollout."""
        return kept(ROLLOUTS) / f"{self.name}.json"

    @property
    def pending(self) -> Path:
        """Return the marker of an activation that has begun."""
        return PENDING / self.name


@dataclass(frozen=True)
class Service:
    """A service that this node runs. Durations are in seconds, but `drain_timeout` is as written (systemd reads it)."""

    place: Place
    release: str
    command: str
    port: int
    setup: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    health_path: str = ""
    health_timeout: float = 1.0
    drain_timeout: str = "30s"
    origin: str = ""
    unpacked_size: int = 0  # bytes
    image: str = ""  # where podman finds it; empty: no container. Then `command` may be empty: the image's own
    alone: bool = False  # no other node runs it
    held: str = ""  # the release that was asked for, in whose place the one that runs is kept: it was rolled back

    @property
    def name(self) -> str:
        """Return the service's name."""
        return self.place.name

    @classmethod
    def of(cls, wanted: dict[str, Any], environment: dict[str, Any], root: Path) -> Service:
        """Return the service that the module's arguments describe. Raises StateError for what cannot be run."""
        name = wanted["name"]
        if not NAME.fullmatch(name):
            raise StateError(f"{name!r} cannot name a service; use up to 25 of a-z, 0-9 and -, a letter first")
        for key in environment:
            if not VARIABLE.fullmatch(key):
                raise StateError(f"service {name}: {key!r} cannot name a variable; use letters, digits and _")
        health = wanted.get("health") or {}
        drain = str(wanted.get("drain_timeout") or "30s")
        seconds_of(drain)
        return cls(
            place=Place(name, root),
            release=wanted.get("release") or "",
            command=wanted.get("command") or "",
            port=int(wanted["port"]),
            setup=wanted.get("setup") or "",
            environment={key: text_of(value) for key, value in environment.items()},
            health_path=health.get("path") or "",
            health_timeout=seconds_of(health.get("timeout") or "1s"),
            drain_timeout=drain,
            origin=wanted.get("origin") or "",
            unpacked_size=int(wanted.get("unpacked_size") or 0),
            image=wanted.get("image") or "",
            alone=bool(wanted.get("alone")),
        )


def text_of(value: Any) -> str:
    """Return a variable's value as the service sees it: `true` and `false` for YAML's booleans."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
