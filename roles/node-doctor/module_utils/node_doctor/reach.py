"""Whether this node can connect where its roles have to: load balancers to services, all nodes to Netdata's parents.

All nodes do this at the same time. Where nothing is set up yet, a node listens for that moment.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAM_PORT, ROW_PORT, READ_PORT = 19999, 19998, 19997
CONNECT_TIMEOUT = 1.5  # seconds: longer than until the kernel sends the first packet again
PAUSE = 0.3  # seconds
UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


@dataclass(frozen=True)
class Way:
    """A TCP connection that has to be possible: from one node to a port of another; `unit` listens there one day."""

    start: str
    end: str
    address: str
    port: int
    unit: str
    purpose: str


def ways(
    services: Mapping[str, Mapping[str, Any]], lbs: Mapping[str, str], parents: Mapping[str, str], nodes: list[str]
) -> list[Way]:
    """Return all ways of a cluster: `services` as caddy_lb_services, the others names to addresses; no `parents`: none.

    A node's way to itself needs no network and is left out.
    """
    found = []
    for name, service in services.items():
        for worker, authority in service["upstreams"].items():
            address, _, port = authority.rpartition(":")
            unit, purpose = f"nexus-service-{name}.service", f"service {name}"
            found += [Way(lb, worker, address.strip("[]"), int(port), unit, purpose) for lb in lbs]
    for parent, address in parents.items():
        for port, starts in ((STREAM_PORT, nodes), (ROW_PORT, list(parents)), (READ_PORT, list(lbs))):
            found += [Way(start, parent, address, port, "netdata.service", "monitoring") for start in starts]
    return [way for way in found if way.start != way.end]


def explore(name: str, all_ways: list[Way], busy: set[int], seconds: float) -> dict[str, Any]:
    """Try the ways that start at node `name`, in `seconds` at most, and listen where others end here and nothing does.

    Return `reach` (by way what went wrong, or nothing) and `listening` (the ports that were opened for this).
    `busy`: ports where somebody listens already.
    """
    ends = time.monotonic() + seconds
    servers = _open_ports(name, all_ways, busy)
    waiters = [
        threading.Thread(target=_welcome, args=(server, starts, ends), daemon=True)
        for server, starts in servers.values()
    ]
    for waiter in waiters:
        waiter.start()
    mine = [way for way in all_ways if way.start == name]
    with ThreadPoolExecutor(max_workers=64) as pool:
        results = list(pool.map(lambda way: _try(way, ends), mine))
    for waiter in waiters:
        waiter.join()
    return {"listening": sorted(servers), "reach": results}


def _open_ports(name: str, all_ways: list[Way], busy: set[int]) -> dict[int, tuple[socket.socket, int]]:
    """Return listening sockets by port, with the number of nodes that will come; none where a unit of ours is due."""
    opened = {}
    for port in sorted({way.port for way in all_ways if way.end == name} - busy):
        here = [way for way in all_ways if way.end == name and way.port == port]
        if any((Path(folder) / here[0].unit).exists() for folder in UNIT_FOLDERS):
            continue  # it may be about to start, and would find its port taken
        with contextlib.suppress(OSError):
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
            opened[port] = server, len({way.start for way in here})
    return opened


def _welcome(server: socket.socket, starts: int, ends: float) -> None:
    """Accept connections until `starts` nodes have come, or the time is over."""
    sources: set[str] = set()
    with server:
        while len(sources) < starts and (left := ends - time.monotonic()) > 0:
            server.settimeout(left)
            try:
                connection, source = server.accept()
            except OSError:
                continue
            connection.close()
            sources.add(source[0])


def _try(way: Way, ends: float) -> dict[str, Any]:
    """Connect until it works or the time is over; return `node`, `port`, `purpose`, `source` and `error` ("": none)."""
    source, error = "", "not tried"
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            break
        try:
            source = source or source_address(way.address)
            socket.create_connection((way.address, way.port), min(left, CONNECT_TIMEOUT)).close()
        except TimeoutError:
            error = "no answer"
        except ConnectionRefusedError:
            error = "refused"
        except OSError as problem:
            error = (problem.strerror or str(problem)).lower()
        else:
            error = ""
            break
        time.sleep(PAUSE)
    return {"node": way.end, "port": way.port, "purpose": way.purpose, "source": source, "error": error}


def source_address(address: str) -> str:
    """Return the own address from which connections to `address` leave. Sends nothing. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as route:
        route.connect((address, 9))
        return str(route.getsockname()[0])
