"""The demo: a sandbox, a sample service and monitoring on it, and their URLs behind the floating IP."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

from nexus_ops.content import find_content
from nexus_ops.dashboard import Candidate, resolve_dashboard
from nexus_ops.environment import Environment
from nexus_ops.errors import NexusError, UsageError
from nexus_ops.files import read_text
from nexus_ops.intent.document import parse_document
from nexus_ops.intent.edit import set_monitoring
from nexus_ops.intent.load import load_intent
from nexus_ops.intent.model import Intent
from nexus_ops.intent.write import write_intent
from nexus_ops.sandbox import NetworkMode, System
from nexus_ops.sandbox.cluster import Sandbox
from nexus_ops.sandbox.environment import SERVICES_HINT
from nexus_ops.sandbox.topology import Request

SSH_USER = "ops"
ANSWER_PATIENCE = 30.0
"""Seconds that the service, and then the dashboard, has to answer once everything is applied."""

SERVICES = """
# The demo's service: a small web server on every worker, for every host name.
services:
  web:
    source: {path: apps/web}
    command: "python3 server.py"
    port: 8080
    env: {GREETING: Hello}
    health: {path: /healthz}
    response_timeout: 2s
"""


@dataclass(frozen=True)
class Answers:
    """What the service said behind its URL: each different answer once."""

    url: str
    texts: tuple[str, ...]


def start_sandbox(
    environment: Environment,
    say: Callable[[str], None],
    system: System = System.DEBIAN_12,
    network: NetworkMode | None = None,
) -> Intent:
    """Bring up the sandbox of `environment` with the sample service in its intent, and return the intent."""
    _check_services(environment)
    request = Request(managers=1, lbs=2, workers=3, ssh_user=SSH_USER, system=system, network=network)
    Sandbox(environment.name).up(environment, request, say)
    service = environment.folder / "apps" / "web"
    if not service.exists():
        shutil.copytree(find_content().example / "apps" / "web", service, ignore=shutil.ignore_patterns("__pycache__"))
    text = read_text(environment.intent)
    if not _has_services(environment):
        text = text.replace(SERVICES_HINT, "").rstrip("\n") + "\n" + SERVICES
    return write_intent(environment, set_monitoring(text, enabled=True))


def _check_services(environment: Environment) -> None:
    """Raise UsageError when the intent of an earlier time has services, and not the one that the demo asks."""
    if not environment.intent.exists() or "web" in load_intent(environment.intent).services:
        return
    if _has_services(environment):
        raise UsageError(
            f"{environment.intent} has services:, and no service web for the demo to ask",
            next_step="add one, or choose another name with --env",
        )


def _has_services(environment: Environment) -> bool:
    return "services" in parse_document(environment.intent.read_bytes(), environment.intent).value


def ask_service(environment: Environment, intent: Intent) -> Answers:
    """Return what the service answers behind the floating IP, once each of its workers has answered.

    Raises NexusError when they do not within `ANSWER_PATIENCE` seconds.
    """
    import requests

    if intent.ha.virtual_ip is None:
        raise NexusError("the demo's intent has no floating IP", next_step="remove its folder and start again")
    address = intent.ha.virtual_ip.ip
    url = f"http://{address}/" if address.version == 4 else f"http://[{address}]/"
    texts: dict[str, None] = {}
    deadline = time.monotonic() + ANSWER_PATIENCE
    workers = len(intent.services["web"].nodes)
    problem = ""
    while len(texts) < workers and time.monotonic() < deadline:
        try:
            response = requests.get(url, timeout=5)
            response.raise_for_status()
            texts[response.text.strip()] = None
        except requests.RequestException as error:
            problem = str(error)
            time.sleep(0.2)
    if len(texts) < workers:
        raise NexusError(
            f"{url} was answered by {len(texts)} of {workers} workers {problem}".rstrip(),
            next_step=f"look at: nexus-ops --env {environment.name} runs show last",
        )
    return Answers(url, tuple(sorted(texts)))


def find_dashboard(environment: Environment, intent: Intent) -> Candidate:
    """Return where the dashboard answers. Raises NexusError when it does not within `ANSWER_PATIENCE` seconds."""
    deadline = time.monotonic() + ANSWER_PATIENCE
    while True:
        found = resolve_dashboard(environment, intent)
        if found.chosen is not None:
            return found.chosen
        if time.monotonic() > deadline:
            raise NexusError(
                f"the dashboard does not answer: {found.tried[0].reason}",
                next_step=f"look at: nexus-ops --env {environment.name} monitor status",
            )
        time.sleep(0.5)
