"""The validated intent: what nexus.yml says, with every default filled in."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPInterface = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class Role(StrEnum):
    """What a node is for."""

    MANAGER = "manager"
    LB = "lb"
    WORKER = "worker"


class Tls(StrEnum):
    """Where the load balancers' certificates come from."""

    OFF = "off"
    INTERNAL = "internal"
    ACME = "acme"


@dataclass(frozen=True)
class Ssh:
    """How a node is reached over ssh. `private_key_file` is as written (`~` not expanded), None: ssh's own choice."""

    user: str
    port: int
    private_key_file: str | None


@dataclass(frozen=True)
class Node:
    """A machine. `address` is an IP address, or a host name or `localhost` on nodes that only manage."""

    name: str
    address: str
    roles: frozenset[Role]
    ssh: Ssh


@dataclass(frozen=True)
class Acme:
    """The certificate authority for public names. An empty `directory` is Caddy's default."""

    email: str
    directory: str = ""


@dataclass(frozen=True)
class Objective:
    """What the loss of one node may cost clients, as written: the longest outage, the share of requests, the time."""

    outage: str = "3s"
    failed: str = "6%"
    recovered: str = "60s"


@dataclass(frozen=True)
class Ha:
    """How clients reach the services. `virtual_ip` carries its prefix length; None: no floating IP."""

    virtual_ip: IPInterface | None = None
    tls: Tls = Tls.OFF
    acme: Acme | None = None
    objective: Objective = field(default_factory=Objective)


@dataclass(frozen=True)
class PathSource:
    """A folder on the controller, absolute."""

    path: Path


@dataclass(frozen=True)
class GitSource:
    """A git repository and what to check out of it."""

    git: str
    ref: str


@dataclass(frozen=True)
class ArchiveSource:
    """An archive file (absolute path) or address, with its checksum in hex."""

    archive: str
    sha256: str


@dataclass(frozen=True)
class ImageSource:
    """A container image, by name from a registry, or out of an archive file (absolute path)."""

    image: str
    archive: Path | None = None


Source = PathSource | GitSource | ArchiveSource | ImageSource


@dataclass(frozen=True)
class Health:
    """How a service's health is asked, durations as written. Without a `path`: by a TCP connection."""

    path: str = ""
    interval: str = "500ms"
    timeout: str = "1s"


@dataclass(frozen=True)
class Service:
    """A program on workers. `nodes` are the workers that run it, in the intent's order. Durations as written."""

    name: str
    source: Source
    command: str  # empty for images: the image's own
    port: int
    nodes: tuple[str, ...]
    setup: str = ""
    env: dict[str, str] = field(default_factory=dict)
    health: Health = field(default_factory=Health)
    domain: str = ""
    drain_timeout: str = "30s"
    response_timeout: str = "30s"


@dataclass(frozen=True)
class Dashboard:
    """Where the dashboard answers, and its user."""

    domain: str = ""
    user: str = "admin"


@dataclass(frozen=True)
class Monitoring:
    """Whether nodes are watched, what is kept, and where alerts go. An empty `webhook`: nowhere."""

    enabled: bool = False
    retention_days: int = 14
    dashboard: Dashboard = field(default_factory=Dashboard)
    webhook: str = ""


@dataclass(frozen=True)
class Intent:
    """All of nexus.yml. Dictionaries keep the order of the file."""

    cluster: str
    nodes: dict[str, Node]
    ha: Ha
    services: dict[str, Service]
    monitoring: Monitoring
    sha256: str  # of the file's bytes, in hex

    def with_role(self, role: Role) -> list[Node]:
        """Return the nodes that carry `role`, in the intent's order."""
        return [node for node in self.nodes.values() if role in node.roles]

    @property
    def parents(self) -> list[Node]:
        """Return the managers that are Netdata parents: the first two. More would add no safety against one loss."""
        return self.with_role(Role.MANAGER)[:2]
