"""The dashboard: which of its addresses answers now."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Intent, Node, Role, Tls

if TYPE_CHECKING:
    import requests

    from nexus_ops.environment import Environment

PAGE = "/nexus/"
PATIENCE = 2.0
"""Seconds for a connection, and for each answer: who takes longer is no address to give to a person."""

PARENT_PORT = 19999


@dataclass(frozen=True)
class Candidate:
    """An address of the page. `via`: domain, virtual_ip, lb, parent or tunnel; `node`: whose it is, empty: nobody's."""

    via: str
    url: str
    node: str = ""
    with_password: bool = True


@dataclass(frozen=True)
class Attempt:
    """What became of a candidate; `reason` says why it is none, empty when it is good."""

    candidate: Candidate
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the page and the data behind it answer."""
        return not self.reason

    def document(self) -> dict[str, Any]:
        """Return one entry of `tried`."""
        candidate = self.candidate
        return {
            "via": candidate.via,
            "node": candidate.node,
            "url": candidate.url,
            "ok": self.ok,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Resolution:
    """The address that answers, None when none does, and what was tried up to it, in the order of preference."""

    chosen: Candidate | None
    tried: tuple[Attempt, ...]

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        chosen = self.chosen
        return {
            "ok": chosen is not None,
            "url": chosen.url if chosen else None,
            "via": chosen.via if chosen else None,
            "node": chosen.node if chosen else None,
            "tried": [attempt.document() for attempt in self.tried],
        }


def list_candidates(intent: Intent, is_here: Callable[[str], bool]) -> list[Candidate]:
    """Return where the dashboard may answer, the best first; `is_here` tells this machine's own addresses.

    With certificates of a public authority (acme) only the domain can be opened: an address has none.
    """
    scheme = "http" if intent.ha.tls is Tls.OFF else "https"
    domain = intent.monitoring.dashboard.domain
    found = [Candidate("domain", f"{scheme}://{domain}{PAGE}")] if domain else []
    lbs = intent.with_role(Role.LB)
    if intent.ha.tls is not Tls.ACME and lbs:
        if intent.ha.virtual_ip:
            found.append(Candidate("virtual_ip", f"{scheme}://{_host(str(intent.ha.virtual_ip.ip))}{PAGE}"))
        found += [Candidate("lb", f"{scheme}://{_host(node.address)}{PAGE}", node.name) for node in lbs]
    here = [node for node in intent.parents if is_here(node.address)]
    return found + [local_page(PARENT_PORT, "parent", node) for node in here[:1]]


def local_page(port: int, via: str, node: Node) -> Candidate:
    """Return the page of the parent on `node`, which answers on this machine at `port`; it wants no password."""
    return Candidate(via, f"http://127.0.0.1:{port}{PAGE}", node.name, with_password=False)


def resolve_dashboard(environment: Environment, intent: Intent) -> Resolution:
    """Try all addresses of the dashboard at once and return the best one that answers. Raises UsageError."""
    read_password(environment)
    candidates = list_candidates(intent, is_own_address)
    return choose(candidates, lambda candidate: try_page(environment, intent, candidate))


def choose(candidates: Sequence[Candidate], attempt: Callable[[Candidate], str]) -> Resolution:
    """Return the first of `candidates` for which `attempt` returns no reason against it; all are tried at once.

    Only those that are better than the chosen one are waited for.
    """
    results: list[queue.SimpleQueue[str]] = [queue.SimpleQueue() for _ in candidates]

    def work(candidate: Candidate, result: queue.SimpleQueue[str]) -> None:
        try:
            result.put(attempt(candidate))
        except Exception as error:  # or the person would wait for ever
            result.put(f"{type(error).__name__}: {error}")

    for candidate, result in zip(candidates, results, strict=True):
        threading.Thread(target=work, args=(candidate, result), daemon=True).start()
    tried: list[Attempt] = []
    for candidate, result in zip(candidates, results, strict=True):
        tried.append(Attempt(candidate, result.get()))
        if tried[-1].ok:
            return Resolution(candidate, tuple(tried))
    return Resolution(None, tuple(tried))


def try_page(environment: Environment, intent: Intent, candidate: Candidate) -> str:
    """Return why `candidate` cannot be used, empty when page, its description and a parent's API behind it answer."""
    import requests

    with requests.Session() as session:
        _prepare(session, environment, intent, candidate)
        try:
            _get(session, candidate.url)
            description = _get(session, urljoin(candidate.url, "nexus.json"))
            document = _parse(description)
            if document.get("cluster") != intent.cluster:
                return f"another page: it shows the cluster {document.get('cluster')!r}"
            api = urljoin(candidate.url, str(document.get("api", "")))
            if urlsplit(api)[:2] != urlsplit(candidate.url)[:2]:  # the password goes nowhere else
                return "another page: its data are elsewhere"
            _get(session, urljoin(api, "api/v1/info"), "the page is there, but no parent answers behind it: ")
        except _RefusedError as error:
            return str(error)
        except requests.RequestException as error:
            return explain(error)
    return ""


class _RefusedError(Exception):
    """An answer that is not a good one."""


def _prepare(session: requests.Session, environment: Environment, intent: Intent, candidate: Candidate) -> None:
    from requests.adapters import HTTPAdapter

    session.trust_env = False  # no proxy, no .netrc: the cluster itself is asked, with its own password
    if candidate.with_password:
        session.auth = (intent.monitoring.dashboard.user, read_password(environment))
    if intent.ha.tls is Tls.INTERNAL:
        session.verify = str(environment.secrets / "ca.crt")
    elif intent.ha.tls is Tls.ACME:

        class SystemTrust(HTTPAdapter):
            """Trusts what the system trusts, as a browser does; requests alone knows only certifi's list."""

            def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
                super().init_poolmanager(*arguments, **options, ssl_context=ssl.create_default_context())

        session.mount("https://", SystemTrust())


def read_password(environment: Environment) -> str:
    """Return the dashboard's password. Raises UsageError when it was never made."""
    path = environment.secrets / "dashboard_password"
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise UsageError(
            f"{path} is missing", next_step=f"run: nexus-ops --env {environment.name} monitor enable"
        ) from None


def _get(session: requests.Session, url: str, prefix: str = "") -> requests.Response:
    response = session.get(url, timeout=PATIENCE, allow_redirects=False)
    if response.status_code == 200:
        return response
    meaning = {401: "it refuses the password", 404: "no dashboard is there"}.get(response.status_code, "")
    raise _RefusedError(f"{prefix}HTTP {response.status_code}{f': {meaning}' if meaning else ''}")


def _parse(response: requests.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _RefusedError("another page: it has no description of a cluster")
    return document


def explain(error: Exception) -> str:
    """Return the reason of an error of requests in few words: what the operating system or TLS said at last."""
    import requests

    if isinstance(error, requests.Timeout):
        return f"no answer within {PATIENCE:g} s"
    seen: BaseException | None = error
    while seen is not None:
        for inner in (seen, getattr(seen, "reason", None), *seen.args):
            if isinstance(inner, ssl.SSLCertVerificationError):
                return f"its certificate is not trusted: {inner.verify_message}"
            if isinstance(inner, socket.gaierror):
                return f"the name is not known: {(inner.strerror or 'no address').lower()}"
            if isinstance(inner, OSError) and inner.strerror and not isinstance(inner, requests.RequestException):
                return inner.strerror.lower()
        seen = _deeper(seen)
    return str(error)


def _deeper(error: BaseException) -> BaseException | None:
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return inner
    return error.__cause__ or error.__context__


def is_own_address(address: str) -> bool:
    """Return whether `address` is this machine's: a socket can be bound to it."""
    if address == "localhost":
        return True
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.bind(target)
    except OSError:
        return False
    return True


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
