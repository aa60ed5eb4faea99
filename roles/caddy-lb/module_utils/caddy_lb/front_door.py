"""Do clients get answers here? Asks for every service as a client would, and finds out why where they do not."""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ansible.module_utils.caddy_lb.asking import doubts, front_problem
from ansible.module_utils.caddy_lb.routing import Upstream, upstreams_of

if TYPE_CHECKING:
    from collections.abc import Collection

PAUSE = 0.2  # seconds
CONNECT_TIMEOUT = 1.5  # seconds: longer than until the kernel sends the first packet again


def verify(
    routing: dict[str, Any], tls: str, workers: Collection[str], sources: Collection[str], limit: float
) -> list[str]:
    """Return a sentence for every service or worker that does not answer within `limit` seconds; all are asked at once.

    Of the upstreams, those on `workers` have to answer. `sources`: addresses that workers accept connections from.
    """
    ends = time.monotonic() + limit

    def look(name: str) -> list[str]:
        service = routing[name]
        upstreams = [upstream for upstream in upstreams_of(service) if upstream.worker in workers]
        if not upstreams:
            return []
        while True:
            problem = front_problem(service, tls)
            silent = {upstream: why for upstream, why in doubts(upstreams, {}).items() if why}
            if not problem and not silent:
                return []
            if time.monotonic() > ends:
                return [*_of_front(name, problem, tls, silent), *_of_workers(name, silent, sources)]
            time.sleep(PAUSE)

    with ThreadPoolExecutor(max_workers=16) as pool:
        return [sentence for found in pool.map(look, routing) for sentence in found]


def _of_front(name: str, problem: str, tls: str, silent: Collection[Upstream]) -> list[str]:
    if not problem:
        return []
    hint = ""
    if "TLS" in problem and tls == "acme":
        hint = "; the certificate authority must reach this domain at the load balancers: see journalctl -u caddy"
    elif not silent and "answer 502" in problem:
        hint = "; its workers answer when asked directly: see that they speak HTTP/1.1, as Caddy does with them"
    elif not silent:
        hint = "; its workers answer when asked directly: see systemctl status caddy on this load balancer"
    return [f"clients get no good answer from {name}: {problem}{hint}"]


def _of_workers(name: str, silent: dict[Upstream, str], sources: Collection[str]) -> list[str]:
    return [
        f"{name} on {upstream.worker} ({upstream.authority}) does not answer this load balancer: "
        f"{why}{likely_cause(upstream, sources)}"
        for upstream, why in silent.items()
    ]


def likely_cause(upstream: Upstream, sources: Collection[str]) -> str:
    """Return what probably keeps this machine from `upstream`, with what to do; empty where the port is open."""
    source, number = connect(upstream.address, upstream.port)
    if not number:
        return ""
    known = {ipaddress.ip_address(address) for address in sources}
    if source and ipaddress.ip_address(source) not in known:
        wanted = " or ".join(sources)
        return f"; connections leave from {source}, but {upstream.worker} accepts {wanted}: name {source} in nexus.yml"
    where = f"TCP port {upstream.port} from {' and '.join(sources) or source or 'here'}"
    if number == errno.ECONNREFUSED:
        return f"; the service does not listen at that address, or a firewall on {upstream.worker} rejects {where}"
    return f"; a firewall probably drops it: on {upstream.worker}, accept {where}"


def connect(address: str, port: int) -> tuple[str, int]:
    """Try a TCP connection; return the own address that it leaves from, empty without a route, and the error, or 0."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    source = ""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect((address, port))  # sends nothing: asks for the route
            source = route.getsockname()[0]
        socket.create_connection((address, port), CONNECT_TIMEOUT).close()
    except TimeoutError:
        return source, errno.ETIMEDOUT
    except OSError as error:
        return source, error.errno or errno.EIO
    return source, 0
