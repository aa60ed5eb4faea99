"""The load: so many GETs a second, whatever becomes of them, each over a connection of its own and never repeated."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nexus_ops.drill.measure import Outcome
from nexus_ops.durations import seconds_of
from nexus_ops.intent.model import Intent, Role, Service, Tls

if TYPE_CHECKING:
    from nexus_ops.environment import Environment

PATIENCE = 5.0
"""Seconds beyond a service's response_timeout that an answer may take: the load balancers try elsewhere after that."""

MAX_THREADS = 4000
"""Requests that wait at once; what would be more is late, which is measured."""


@dataclass(frozen=True)
class Target:
    """Where the requests of a service go. `host` is its domain, empty: it is asked for by address."""

    service: str
    addresses: tuple[str, ...]
    port: int
    tls: bool
    host: str
    path: str
    timeout: float


def targets_of(intent: Intent, services: Sequence[Service], path: str) -> list[Target]:
    """Return the front door of each of `services`: the floating IP, without one the load balancers in turn."""
    if intent.ha.virtual_ip:
        addresses: tuple[str, ...] = (str(intent.ha.virtual_ip.ip),)
    else:
        addresses = tuple(node.address for node in intent.with_role(Role.LB))
    tls = {
        # A public authority has certificates for names only.
        service.name: intent.ha.tls is Tls.INTERNAL or (intent.ha.tls is Tls.ACME and bool(service.domain))
        for service in services
    }
    return [
        Target(
            service=service.name,
            addresses=addresses,
            port=443 if tls[service.name] else 80,
            tls=tls[service.name],
            host=service.domain,
            path=path or service.health.path or "/",
            timeout=seconds_of(service.response_timeout, "response_timeout") + PATIENCE,
        )
        for service in services
    ]


class Load:
    """Sends requests to `targets` from `start` to `stop`; `outcomes` are those that have ended, in order of ending."""

    def __init__(self, targets: Sequence[Target], rate: int, environment: Environment, intent: Intent) -> None:
        """Prepare it; nothing is sent yet."""
        self.targets, self._rate = targets, rate
        self._context = _trust(environment, intent) if any(target.tls for target in targets) else None
        self.outcomes: list[Outcome] = []
        self._stopped = threading.Event()
        self._slots = threading.Semaphore(MAX_THREADS)
        self._begun = 0.0
        self._reached = 0.0
        self._open: dict[int, float] = {}
        self._clock = threading.Thread(target=self._keep_time, daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._begun = time.monotonic()
        self._clock.start()

    def stop(self) -> None:
        """Send no more and do not wait for what is under way."""
        self._stopped.set()
        if self._begun:
            self._clock.join()  # the others are daemons: nobody waits for an answer that may never come

    def settled(self, until: float) -> bool:
        """Return whether all requests that were due before `until` (monotonic seconds) have ended."""
        return self._reached >= until and not any(due < until for due in list(self._open.values()))

    def _keep_time(self) -> None:
        """Hand out what is due. The services take turns within an interval."""
        number = 0
        while not self._stopped.is_set():
            due = self._begun + number / self._rate
            for place, target in enumerate(self.targets):
                moment = due + place / len(self.targets) / self._rate
                if self._stopped.wait(max(0.0, moment - time.monotonic())):
                    return
                address = target.addresses[number % len(target.addresses)]
                while not self._slots.acquire(timeout=0.1):
                    if self._stopped.is_set():
                        return
                ticket = number * len(self.targets) + place
                self._open[ticket] = self._reached = moment
                threading.Thread(target=self._send, args=(ticket, target, address, moment), daemon=True).start()
            number += 1

    def _send(self, ticket: int, target: Target, address: str, due: float) -> None:
        began = time.monotonic()
        error = self._ask(target, address)
        self.outcomes.append(Outcome(target.service, due, began, time.monotonic(), error))
        del self._open[ticket]
        self._slots.release()

    def _ask(self, target: Target, address: str) -> str:
        """Return why the request failed, empty when it did not. Every answer below 500 is one that the service gave."""
        import urllib3

        options: dict[str, Any] = {"timeout": urllib3.Timeout(total=target.timeout), "retries": False, "maxsize": 1}
        headers = {"Connection": "close", "User-Agent": "nexus-ops-drill"}
        if target.host:
            headers["Host"] = target.host
        try:
            if target.tls:
                names = {"server_hostname": target.host, "assert_hostname": target.host} if target.host else {}
                options = {**options, **names, "ssl_context": self._context}
                pool: urllib3.HTTPConnectionPool = urllib3.HTTPSConnectionPool(address, target.port, **options)
            else:
                pool = urllib3.HTTPConnectionPool(address, target.port, **options)
            with pool:
                answer = pool.request("GET", target.path, headers=headers, redirect=False, decode_content=False)
        except Exception as error:  # whatever it was, the client got no answer
            return _words(error)
        return f"HTTP {answer.status}" if answer.status >= 500 else ""


def _words(error: BaseException) -> str:
    """Return an error of urllib3 in few words: what lies deepest, where that says something."""
    import urllib3

    if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return "time-out"
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).lower()


def _trust(environment: Environment, intent: Intent) -> ssl.SSLContext:
    """Return what the load balancers' certificates are checked by: the environment's own authority, or the system's."""
    if intent.ha.tls is Tls.INTERNAL:
        return ssl.create_default_context(cafile=str(environment.secrets / "ca.crt"))
    return ssl.create_default_context()
