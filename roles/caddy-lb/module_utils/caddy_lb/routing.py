"""What this load balancer sends where, as its configuration was last written by the role."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path("/etc/caddy/nexus-services.json")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Upstream:
    """A worker as one service's upstream."""

    worker: str
    address: str
    port: int
    path: str  # of the health check, may be empty
    timeout: float  # seconds

    @property
    def authority(self) -> str:
        """Return `host:port` as Caddy writes it."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def read_routing() -> dict[str, Any]:
    """Return the role's caddy_lb_services as they are in force, empty where the role never ran."""
    try:
        routing = json.loads(FILE.read_bytes())
    except (OSError, ValueError):
        return {}
    return routing if isinstance(routing, dict) else {}


def upstreams_of(service: dict[str, Any]) -> list[Upstream]:
    """Return the upstreams of one service."""
    health = service.get("health") or {}
    found = []
    for worker, authority in service["upstreams"].items():
        address, _, port = authority.rpartition(":")
        found.append(
            Upstream(
                worker,
                address.strip("[]"),
                int(port),
                health.get("path") or "",
                seconds_of(health.get("timeout") or "1s"),
            )
        )
    return found


def seconds_of(duration: str) -> float:
    """Return a duration as the intent writes it (`500ms`, `1s`, `2m`) in seconds."""
    number = duration.rstrip("msh")
    return float(number) * SECONDS[duration[len(number) :]]
