"""Who is no member of the cluster gets nothing of Netdata without the password, and streams nothing into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_ops.certificates import make_authority
from tests.cluster.cluster import WEB_PORT
from tests.cluster.monitoring.monitored import API, PAGE, PARENT_PORTS, READING, SIMULATOR, STREAMS, USER, scan

if TYPE_CHECKING:
    from tests.cluster.monitoring.monitored import Monitored

FOREIGN_KEY = "00000000-1111-2222-3333-444444444444"
PATHS = (
    PAGE,
    "/nexus/index.html",
    "/nexus/nexus.json",
    f"/nexus/{API}",
    "/nexus/netdata/",
    "/nexus/netdata/netdata.conf",
    "/nexus/netdata/host/w1/api/v1/data?chart=system.cpu",
    "/nexus/parents/mgr1/api/v1/info",
    "/nexus/parents/mgr2/api/v1/info",
    "/nexus//netdata/api/v1/info",
    "/nexus/%2e%2e/nexus/netdata/api/v1/info",
    "//nexus/netdata/api/v1/info",
    "/NEXUS/netdata/api/v1/info",
    "/netdata/api/v1/info",
    "/api/v1/info",
)


def test_nothing_of_netdata_answers_without_the_password(monitored: Monitored) -> None:
    for name, address in monitored.addresses().items():
        for path in PATHS:
            for auth in (None, (USER, "wrong"), (USER, "")):
                answer = monitored.get(address, path, auth=auth)
                about = f"http://{address}{path} ({name}, password {auth}): {answer.status_code} {answer.text[:200]}"
                for word in ("mirrored_hosts", "netdata", "uPlot", "app.js", '"roles"', "system.cpu"):
                    assert word not in answer.text, f"something of the dashboard answers without the password: {about}"
                if path.startswith("/nexus/"):
                    assert answer.status_code == 401, f"the password is asked for: {about}"


def test_with_the_password_the_page_and_the_data_answer_everywhere(monitored: Monitored) -> None:
    for name, address in monitored.addresses().items():
        assert monitored.opens(f"http://{address}{PAGE}"), f"the dashboard opens at {name}, {address}"
        for parent in monitored.parents:
            answer = monitored.get(address, f"/nexus/parents/{parent}/api/v1/info")
            assert answer.json()["mirrored_hosts"][0] == parent, f"{parent} itself is there through {name}"
        assert monitored.get(address, "/nexus").headers["location"].endswith(PAGE)


def test_the_service_is_where_it_was(monitored: Monitored) -> None:
    for address in monitored.addresses().values():
        answer = monitored.cluster.get(address=address)
        assert answer is not None, f"the service without a domain still answers at http://{address}/"
        named = monitored.get(address, headers={"Host": "anything.example.com"})
        assert "no such page" in named.text, f"a request by name for /nexus/ is the service's: {named.text[:200]}"


def test_only_ssh_and_http_can_be_reached_from_outside(monitored: Monitored) -> None:
    cluster = monitored.cluster
    found = scan({node: cluster.address(node) for node in cluster.nodes()})
    for node, ports in found.items():
        allowed = {22}
        if node in cluster.nodes("lb"):
            allowed |= {80, 443}
        assert 22 in ports, f"the scan sees what is open: {node}: {ports}"
        assert set(ports) <= allowed, f"objective: {node} shows only {sorted(allowed)} to the outside, not {ports}"


@pytest.mark.parametrize("parent", ["mgr1", "mgr2"])
def test_the_parents_port_is_closed_to_strangers(monitored: Monitored, parent: str) -> None:
    cluster = monitored.cluster
    for port in PARENT_PORTS:
        assert not cluster.reachable(cluster.address(parent), port), f"{parent} answers a stranger at port {port}"
    for user in ("nobody", "daemon"):
        for node, address, port in (
            ("w1", cluster.address(parent), STREAMS),
            ("w1", cluster.address(parent), READING),
            (parent, "127.0.0.1", STREAMS),
            (parent, cluster.address(parent), READING),
        ):
            script = f"import socket; socket.create_connection(({address!r}, {port}), 2)"
            command = ("setpriv", "--reuid", user, "--clear-groups", "python3", "-c", script)
            assert not cluster.succeeds(node, *command), f"a service's user on {node} cannot reach {parent}'s API"


def stream(monitored: Monitored, parent: str, *options: str) -> dict[str, object]:
    """Try to stream a foreign node from a member of the cluster to a parent, and return what became of it."""
    # At this port parents that are not the first answer, too.
    target = f"{monitored.cluster.address(parent)}:{READING}"
    options = ("--nodes", "1", "--prefix", "foreign-", "--seconds", "3", "--parents", target, *options)
    found = monitored.run_on("w1", SIMULATOR, *options)
    assert isinstance(found, dict)
    return found


def test_a_stream_with_a_foreign_key_is_refused(monitored: Monitored) -> None:
    for parent in monitored.parents:
        done = stream(monitored, parent, "--key", FOREIGN_KEY)
        assert done["accepted"] == 0, f"{parent} takes no stream with a foreign key, even from a member: {done}"
        assert "not permitted" in str(done["answers"]), f"{parent} says why: {done}"


def test_a_stream_without_tls_is_refused(monitored: Monitored) -> None:
    for parent in monitored.parents:
        done = stream(monitored, parent, "--plain")
        assert done["accepted"] == 0, f"{parent} takes no stream in the clear: {done}"


def test_a_parent_with_a_foreign_certificate_gets_no_stream(monitored: Monitored) -> None:
    foreign = "/tmp/foreign.crt"
    monitored.write_on("w1", make_authority("somebody else", path_length=0)[0], foreign)
    for parent in monitored.parents:
        done = stream(monitored, parent, "--ca-file", foreign)
        assert done["accepted"] == 0, f"who trusts another authority does not stream to {parent}: {done}"
        assert "CERTIFICATE_VERIFY_FAILED" in str(done["answers"]), f"and says why: {done}"


def test_none_of_the_foreign_nodes_is_known_to_the_parents(monitored: Monitored) -> None:
    for parent in monitored.parents:
        names = {host["hostname"] for host in monitored.ask(parent, "/api/v1/info")["mirrored_hosts_status"]}
        assert names == set(monitored.cluster.nodes()), f"{parent} knows the nodes of the cluster and nobody else"


def test_the_services_port_is_still_closed(monitored: Monitored) -> None:
    for node in monitored.cluster.nodes("worker"):
        assert not monitored.cluster.reachable(monitored.cluster.address(node), WEB_PORT)
