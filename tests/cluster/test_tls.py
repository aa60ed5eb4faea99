"""IPv6 alone; certificates on every load balancer: of the environment's own authority, and of an ACME authority."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.cluster.authority import DIRECTORY, run_authority
from tests.cluster.cli import run
from tests.cluster.cluster import STATUS_DOMAIN
from tests.cluster.conftest import booted, installed
from tests.cluster.measure import wait_until
from tests.cluster.monitoring.browser import Browser
from tests.cluster.monitoring.monitored import all_live, complete

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.cluster import Cluster

DASHBOARD_DOMAIN = "dashboard.example.com"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts with every role that nexus.yml knows by IPv6 addresses alone, and a host outside."""
    with booted("pair", tmp_path_factory, "--all-in-one", "2", "--client", "--network", "ipv6") as cluster:
        cluster.first_apply = installed(cluster)
        yield cluster


def ask(address: str, host: str, authority: Path, path: str = "/", login: str = "") -> dict[str, Any]:
    """Return what https://`host` answers at `address`, whose certificate has to be good for `authority`."""
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPConnection(host)
    connection.sock = context.wrap_socket(socket.create_connection((address, 443), 5), server_hostname=host)
    try:
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
        connection.request("GET", path, headers=headers)
        document = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    assert isinstance(document, dict)
    return document


def set_tls(cluster: Cluster, **ha: Any) -> None:
    intent = cluster.intent
    intent["ha"] = {"virtual_ip": intent["ha"]["virtual_ip"], **ha}
    cluster.write(intent)
    cluster.cli("apply", "ha", "--yes").expect(0)
    assert cluster.cli("apply", "ha", "--yes", "--json").expect(0).document["changed"] == 0


def redirect(address: str) -> tuple[int, str | None]:
    connection = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        connection.request("GET", "/x", headers={"Host": STATUS_DOMAIN})
        response = connection.getresponse()
        return response.status, response.headers["Location"]
    finally:
        connection.close()


def test_own_authority_is_the_same_on_every_load_balancer(pair: Cluster) -> None:
    set_tls(pair, tls="internal")
    authority = pair.folder / "secrets" / "ca.crt"
    for address in (pair.virtual_ip, *map(pair.address, pair.nodes("lb"))):
        assert ask(address, STATUS_DOMAIN, authority)["service"] == "status"
        assert ask(address, "other.example.com", authority)["service"] == "web"
        assert redirect(address) == (308, f"https://{STATUS_DOMAIN}/x")
    key = (pair.folder / "secrets" / "ca.key").read_text().splitlines()[1]
    left = subprocess.run(["grep", "-rlF", key, pair.project], capture_output=True, text=True, check=False).stdout
    assert left.split() == [str(pair.folder / "secrets" / "ca.key")], "the key is nowhere else on the controller"


def test_the_dashboard_shows_data_through_every_load_balancer_behind_tls(pair: Cluster, tmp_path: Path) -> None:
    pair.cli("monitor", "enable", "--yes").expect(0)

    def live() -> bool:
        return complete(pair.cli("monitor", "status", "--json").document["nodes"], pair.nodes("manager"))

    wait_until("every node is live on both parents over IPv6", 60, live, interval=0.5)
    assert pair.cli("dashboard", "--json").expect(0).document["via"] == "virtual_ip"
    password = (pair.folder / "secrets/dashboard_password").read_text().strip()
    for address in (pair.virtual_ip, *map(pair.address, pair.nodes("lb"))):
        for path in ("netdata/api/v1/info", *(f"parents/{parent}/api/v1/info" for parent in pair.nodes("manager"))):
            answer = requests.get(
                f"https://[{address}]/nexus/{path}",
                auth=("admin", password),
                verify=str(pair.folder / "secrets/ca.crt"),
                timeout=5,
            )
            assert set(answer.json()["mirrored_hosts"]) == set(pair.nodes()), f"{path} through {address}"
        folder = tmp_path / address.replace(":", "-")
        folder.mkdir()
        with Browser(folder, flags=("--ignore-certificate-errors",)) as browser:  # it takes no file of an authority
            browser.open(f"[{address}]", password, "https")
            browser.wait_for("the page shows all nodes as live", 30, all_live(pair.nodes()))
            assert browser.moving(15) == set(pair.nodes()), f"values move on the page at {address}"
    pair.cli("status").expect(0)
    assert pair.cli("monitor", "enable", "--yes", "--json").expect(0).document["changed"] == 0
    assert pair.cli("plan", "all", "--json").expect(0).document["changes"] == 0


def test_acme_gives_every_load_balancer_a_certificate_whoever_holds_the_floating_ip(
    pair: Cluster, tmp_path: Path
) -> None:
    authority = tmp_path / "root.crt"
    names = dict.fromkeys((STATUS_DOMAIN, DASHBOARD_DOMAIN), pair.virtual_ip)
    authority.write_text(run_authority(pair, "client1", names))
    for lb in pair.nodes("lb"):
        pair.run(lb, "systemctl", "restart", "caddy")  # a program reads what it trusts once
    set_tls(pair, tls="acme", acme={"email": "ops@example.com", "directory": DIRECTORY})

    def everybody_has_one() -> bool:
        try:
            answers = [ask(pair.address(lb), STATUS_DOMAIN, authority) for lb in pair.nodes("lb")]
        except (OSError, ssl.SSLError):
            return False
        return all(answer["service"] == "status" for answer in answers)

    wait_until("every load balancer has a certificate of the ACME authority", 60, everybody_has_one)

    intent = pair.intent
    intent["monitoring"]["dashboard"] = {"domain": DASHBOARD_DOMAIN}
    pair.write(intent)
    pair.cli("apply", "all", "--yes").expect(0)
    login = f"admin:{(pair.folder / 'secrets/dashboard_password').read_text().strip()}"

    def has_data(lb: str) -> bool:
        try:
            answer = ask(pair.address(lb), DASHBOARD_DOMAIN, authority, "/nexus/netdata/api/v1/info", login)
        except (OSError, ValueError):
            return False
        return set(answer["mirrored_hosts"]) == set(pair.nodes())

    for lb in pair.nodes("lb"):
        wait_until(f"the dashboard has data through {lb}", 60, partial(has_data, lb))
    trust = {"SSL_CERT_FILE": str(authority)}
    run(pair.cli.command("status"), cwd=pair.project, timeout=60, environment=trust).expect(0)
