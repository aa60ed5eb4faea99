"""Monitoring where the system has no Netdata: from an apt repository, or a line that says what to paste."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.cluster.conftest import booted, installed
from tests.cluster.load import Stream
from tests.cluster.measure import RunningLoad, wait_until
from tests.cluster.monitoring.monitored import complete
from tests.cluster.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.cluster import Cluster

LIVE_SECONDS = 60.0
BUSY_SECONDS = 30
LEFT = (
    "find /etc/netdata /var/cache/netdata /var/lib/netdata /var/log/netdata /etc/systemd/system/netdata* "
    "/etc/systemd/system/nexus-streams* /etc/apt/sources.list.d/nexus-* /etc/apt/keyrings/nexus-* "
    "/etc/nexus-ops/streams.nft /etc/nexus-ops/netdata-history 2>/dev/null; dpkg-query -W 'netdata*' 2>/dev/null"
)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two hosts with every role, of Debian 13, which has no Netdata; the host outside has Debian 12."""
    systems = [word for node in ("n1", "n2") for word in ("--system-of", f"{node}=debian-13")]
    with booted("newer", tmp_path_factory, "--all-in-one", "2", "--client", "--network", "dual", *systems) as cluster:
        cluster.first_apply = installed(cluster)
        yield cluster


@pytest.fixture(scope="module")
def repository(newer: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repository]:
    """Serve what Debian 12 has of Netdata, as upstream serves its packages; hosts trust its authority."""
    gateway = next(ipaddress.ip_network(f"{newer.address('n1')}/24", strict=False).hosts())
    with Repository(tmp_path_factory.mktemp("repository"), str(gateway)) as repository:
        repository.fill(newer, "client1")
        repository.introduce(newer, *newer.nodes())
        yield repository


def name(cluster: Cluster, variables: dict[str, object]) -> None:
    folder = cluster.folder / "group_vars"
    folder.mkdir(exist_ok=True)
    (folder / "all.yml").write_text(yaml.safe_dump(variables))


def test_without_a_repository_one_line_says_what_to_paste_and_nothing_is_changed(
    newer: Cluster, repository: Repository
) -> None:
    nowhere = {**repository.variables()["netdata_node_repository"], "uri": f"https://{repository.address}:1/"}  # type: ignore[dict-item]
    name(newer, {"netdata_node_repository": {**nowhere, "key_url": f"{nowhere['uri']}key.asc"}})
    before = newer.intent_file.read_bytes()
    refused = newer.cli("monitor", "enable", "--yes").expect(1)
    for node in newer.nodes():
        (line,) = [line for line in refused.err.splitlines() if line.startswith(f"error: {node}: ")]
        assert "group_vars/all.yml" in line, refused
        assert "netdata_node_repository: {uri:" in line, refused
    assert newer.intent_file.read_bytes() == before, f"nexus.yml is as it was\n{refused}"
    for node in newer.nodes():
        assert not newer.run(node, "sh", "-c", f"{LEFT}; true"), f"nothing was changed on {node}"
    newer.write({**newer.intent, "monitoring": {"enabled": True}})
    foreseen = newer.cli("doctor", "--json").expect(1).document["nodes"]
    newer.intent_file.write_bytes(before)
    for node in newer.nodes():
        (finding,) = [one for one in foreseen[node]["findings"] if one["severity"] == "error"]
        assert finding["what"].startswith("Netdata cannot be installed: https://"), foreseen
        assert "netdata_node_repository: {uri:" in finding["remedy"], foreseen


def test_monitoring_works_with_packages_of_an_own_repository(newer: Cluster, repository: Repository) -> None:
    name(newer, repository.variables())
    newer.hold("n1", "/var/lib/apt/lists/lock", BUSY_SECONDS)
    newer.hold("n2", "/var/lib/dpkg/lock-frontend", BUSY_SECONDS)
    waited = newer.cli("monitor", "enable", "--yes").expect(0)
    assert waited.seconds > BUSY_SECONDS / 2, "it waited for those who work with packages"
    for node in newer.nodes():
        assert newer.run(node, "dpkg-query", "-W", "-f", "${Version}", "netdata").startswith("1.37")

    def live() -> bool:
        return complete(newer.cli("monitor", "status", "--json").document["nodes"], newer.nodes("manager"))

    wait_until("every node is live on both parents", LIVE_SECONDS, live, interval=0.5)
    assert newer.cli("dashboard", "--json").expect(0).document["via"] == "virtual_ip"
    assert newer.cli("monitor", "enable", "--yes", "--json").expect(0).document["changed"] == 0
    assert newer.cli("plan", "all", "--json").expect(0).document["changes"] == 0
    newer.cli("status").expect(0)
    newer.cli("doctor").expect(0)


def test_nodes_are_renumbered_and_no_request_fails(newer: Cluster) -> None:
    entry, before = newer.address("n2"), newer.intent
    intent = newer.intent
    for node in newer.nodes():
        listing = newer.run(node, "ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "global")
        intent["nodes"][node]["address"] = str(ipaddress.ip_interface(listing.split()[3]).ip)
    network = ipaddress.ip_network(f"{intent['nodes']['n1']['address']}/64", strict=False)
    intent["ha"]["virtual_ip"] = f"{network[200]}/64"
    newer.write(intent)
    try:
        newer.cli("bootstrap", "--yes").expect(0)
        with RunningLoad(entry, streams=(Stream("get", "GET", "/", 30),)) as load:
            newer.cli("apply", "all", "--yes").expect(0)
        assert not load.report.failures(), load.report.failures()[:10]
        wait_until("the cluster is whole", LIVE_SECONDS, lambda: newer.cli("status").code == 0, interval=0.5)
        assert newer.cli("apply", "all", "--yes", "--json").expect(0).document["changed"] == 0
    finally:
        newer.write(before)
        newer.cli("apply", "all", "--yes").expect(0)


def test_disable_leaves_nothing(newer: Cluster) -> None:
    newer.cli("monitor", "disable", "--purge", "--yes").expect(0)
    for node in newer.nodes():
        left = newer.run(node, "sh", "-c", f"{LEFT}; true")
        assert not left, f"nothing is left on {node}: {left}"
    assert newer.cli("plan", "all", "--json").expect(0).document["changes"] == 0
