"""Asks this machine's Caddy: what it believes of upstreams, and which worker it sends a request to."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ansible.module_utils.caddy_lb.routing import Upstream, seconds_of, upstreams_of
from ansible.module_utils.node_state.answers import answer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FAILS = 3  # as in the Caddyfile: so many within fail_duration, and Caddy sends a worker nothing
ADMIN = "/run/caddy/admin.sock"  # as in the Caddyfile
PAUSE = 0.02  # seconds
FRONT_GRACE = 4  # seconds, as lb_try_duration: so long Caddy looks for a worker beyond its answer
CADDYS_OWN = (502, 503, 504)  # what Caddy answers when a worker did not; anything else came from one
NOBODY = "nexus-ask.invalid"  # a host name that no site is for: the service without a domain


def ask_caddy(path: str, timeout: float = 2) -> Any:
    """Return what Caddy's admin interface says at `path`, from JSON. Raises OSError."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(timeout)
        connection.sock.connect(ADMIN)
        connection.request("GET", path, headers={"Host": ""})  # all that Caddy 2.6 takes over such a socket
        answer = connection.getresponse()
        document = json.loads(answer.read())
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"Caddy's admin interface: {error}") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise OSError(f"Caddy's admin interface: {answer.status} {answer.reason}")
    return document


def failures() -> dict[str, int]:
    """Return how many requests failed lately, by upstream (`host:port`). Raises OSError."""
    return {entry["address"]: int(entry.get("fails") or 0) for entry in ask_caddy("/reverse_proxy/upstreams") or []}


def doubts(upstreams: Sequence[Upstream], failed: dict[str, int]) -> dict[Upstream, str]:
    """Return why this load balancer cannot send an upstream requests, empty where it can. Asks all at once."""

    def doubt(upstream: Upstream) -> str:
        problem = answer_of(upstream.address, upstream.port, upstream.path, upstream.timeout)
        fails = failed.get(upstream.authority, 0)
        return problem or (f"{fails} requests to it failed in the last seconds" if fails >= MAX_FAILS else "")

    with ThreadPoolExecutor(max_workers=32) as pool:
        return dict(zip(upstreams, pool.map(doubt, upstreams), strict=True))


def wait_until_used(service: dict[str, Any], worker: str, tls: str, limit: float) -> str:
    """Send requests through this Caddy until one went to `worker`; return why not within `limit` seconds, else nothing.

    The worker must be an upstream of `service` here.
    """
    (upstream,) = (one for one in upstreams_of(service) if one.worker == worker)
    ends = time.monotonic() + limit
    secure = bool(service["domain"]) and tls != "off"
    problem = ""
    while True:
        try:
            status, went_to = _ask(service["domain"], upstream.path, secure, max(upstream.timeout, 1) + 2)
            if went_to == upstream.authority and status not in CADDYS_OWN:
                return ""
            problem = f"it answered {status} from {went_to or 'nobody'}"
        except (OSError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        if time.monotonic() > ends:
            own = answer_of(upstream.address, upstream.port, upstream.path, upstream.timeout)
            return own or f"its Caddy sends {upstream.authority} no requests ({problem})"
        time.sleep(PAUSE)


def front_problem(service: dict[str, Any], tls: str) -> str:
    """Ask for a service once as a client would, by its host name; return why there is no good answer, else nothing.

    A service without a domain is asked for without TLS, and with it too where any name gets a certificate (internal).
    """
    domain, path = service["domain"], (service.get("health") or {}).get("path") or ""
    timeout = max(seconds_of((service.get("health") or {}).get("timeout") or "1s"), 1) + FRONT_GRACE
    for secure in [tls != "off"] if domain else [False, *([True] if tls == "internal" else [])]:
        what = f"{'https' if secure else 'http'}://{domain or '(any host name)'}{path or '/'}"
        try:
            status, went_to = _ask(domain, path, secure, timeout)
        except ssl.SSLError as error:
            return f"{what}: TLS fails, as without a certificate ({error.reason or error})"
        except TimeoutError:
            return f"{what}: no answer within {timeout:g} s"
        except (OSError, http.client.HTTPException) as error:
            return f"{what}: {getattr(error, 'strerror', None) or error or type(error).__name__}"
        if status in CADDYS_OWN or not went_to:
            return f"{what}: answer {status} from {went_to or 'the load balancer itself'}"
    return ""


def front_problems(routing: dict[str, Any], tls: str) -> dict[str, str]:
    """Return by service why clients get no good answer, empty where they do. Asks for all at once."""
    with ThreadPoolExecutor(max_workers=32) as pool:
        return dict(zip(routing, pool.map(lambda service: front_problem(service, tls), routing.values()), strict=True))


def _ask(domain: str, path: str, secure: bool, timeout: float) -> tuple[int, str]:
    """Return status and upstream of one request: a health check, or HEAD of / where a service has none."""
    connection = http.client.HTTPConnection("127.0.0.1", 443 if secure else 80, timeout=timeout)
    try:
        if secure:
            plain = socket.create_connection(("127.0.0.1", 443), timeout)
            connection.sock = _unverified().wrap_socket(plain, server_hostname=domain or None)
        headers = {"Host": domain or NOBODY, "Nexus-Ask": "1", "User-Agent": "nexus-ops", "Connection": "close"}
        connection.request("GET" if path else "HEAD", path or "/", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Nexus-Upstream") or ""
    finally:
        connection.close()


def _unverified() -> ssl.SSLContext:
    """Return a context that trusts anybody: nothing secret is sent, and nobody else listens on loopback."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
