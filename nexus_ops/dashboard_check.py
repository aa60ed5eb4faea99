"""Whether the dashboard has data, through each load balancer. Asked in the background, while Ansible asks the nodes."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
from typing import TYPE_CHECKING

from nexus_ops.dashboard import PAGE, read_password
from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Intent, Node, Role, Tls

if TYPE_CHECKING:
    from nexus_ops.environment import Environment

CONNECT_TIMEOUT = 1.5
ANSWER_TIMEOUT = 5.0
"""Seconds. A load balancer looks for a parent for 4 s."""

VAULT = "$ANSIBLE_VAULT"


class DashboardCheck:
    """Asks every load balancer for a parent's data behind the dashboard, from the moment that it is made."""

    def __init__(self, environment: Environment, intent: Intent) -> None:
        """Begin to ask; nothing is asked where there is no dashboard or no password to ask with."""
        self._found: dict[str, str] = {}
        self._threads: list[threading.Thread] = []
        if not (intent.monitoring.enabled and intent.parents):
            return
        if intent.ha.tls is Tls.ACME and not intent.monitoring.dashboard.domain:
            return  # without a name there is no certificate, and without one no dashboard
        try:
            password = read_password(environment)
        except UsageError:
            return
        if password.startswith(VAULT):
            return
        authority = str(environment.secrets / "ca.crt")

        def ask(lb: Node) -> None:
            self._found[lb.name] = data_problem(intent, lb, password, authority)

        for lb in intent.with_role(Role.LB):
            self._threads.append(threading.Thread(target=ask, args=(lb,), daemon=True))
            self._threads[-1].start()

    def finish(self) -> dict[str, str]:
        """Return by load balancer why its dashboard shows no data, empty where it does or is out of reach from here."""
        for thread in self._threads:
            thread.join(CONNECT_TIMEOUT + 2 * ANSWER_TIMEOUT)
        return dict(self._found)


def data_problem(intent: Intent, lb: Node, password: str, authority: str, port: int = 0) -> str:
    """Ask `lb` once for the parents' data; return what is wrong with the answer.

    Nothing is wrong where no connection can be made from here: the load balancers themselves say whether they serve.
    `authority` is the file of our own one. `port`: another one than that of the web.
    """
    secure = intent.ha.tls is not Tls.OFF
    host = intent.monitoring.dashboard.domain or lb.address
    try:
        plain = socket.create_connection((lb.address, port or (443 if secure else 80)), CONNECT_TIMEOUT)
    except OSError:
        return ""
    plain.settimeout(ANSWER_TIMEOUT)
    connection = http.client.HTTPConnection(f"[{host}]" if ":" in host else host, timeout=ANSWER_TIMEOUT)
    try:
        connection.sock = plain
        if secure:
            trusted = authority if intent.ha.tls is Tls.INTERNAL else None
            connection.sock = ssl.create_default_context(cafile=trusted).wrap_socket(plain, server_hostname=host)
        login = base64.b64encode(f"{intent.monitoring.dashboard.user}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {login}", "User-Agent": "nexus-ops", "Connection": "close"}
        connection.request("GET", f"{PAGE}netdata/api/v1/info", headers=headers)
        status = connection.getresponse().status
    except TimeoutError:
        return f"no answer within {ANSWER_TIMEOUT:g} s"
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", None) or error.args[-1] if error.args else type(error).__name__)
    finally:
        plain.close()
        connection.close()
    if status == 200:
        return ""
    meaning = {
        401: "it refuses the password",
        404: "it is not set up",
        502: "no parent answers",
        503: "no parent answers",
    }
    return f"HTTP {status}{f': {meaning[status]}' if status in meaning else ''}"
