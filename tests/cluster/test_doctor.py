"""The doctor on real hosts: a whole cluster is well, and what is broken is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.cluster import BOOT_SECONDS
from tests.cluster.measure import wait_until

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

BLOCK = """
table inet doctor_test {
    chain input { type filter hook input priority -10; meta l4proto 112 ip saddr %s drop; }
}
"""


def test_a_whole_cluster_is_well_and_nothing_is_disturbed(whole_six: Cluster) -> None:
    """No error, the floating IP stays where it is, and keepalived says nothing of the packets."""
    cluster = whole_six
    holder = cluster.holder()
    said = [cluster.run(lb, "journalctl", "-u", "keepalived", "-o", "cat") for lb in cluster.nodes("lb")]
    found = cluster.cli("doctor", "--json").expect(0).document
    assert found["ok"] is True
    assert {name: node["findings"] for name, node in found["nodes"].items()} == {name: [] for name in cluster.nodes()}
    assert cluster.holders() == [holder]
    assert [cluster.run(lb, "journalctl", "-u", "keepalived", "-o", "cat") for lb in cluster.nodes("lb")] == said


def test_it_names_what_stands_in_the_way(whole_six: Cluster) -> None:
    """A foreign program on a service's port, protocol 112 blocked one way, and a node that is off, all at once."""
    cluster = whole_six
    worker, off = cluster.nodes("worker")[1:3]
    backup = next(lb for lb in cluster.nodes("lb") if lb != cluster.holder())
    intent = cluster.intent_file.read_bytes()
    holder = cluster.holder()
    try:
        # Drops on the holder what the backup sends: the floating IP stays where it is.
        cluster.run(holder, "sh", "-c", f"echo '{BLOCK % cluster.address(backup)}' | nft -f -")
        cluster.run(worker, "systemd-run", "--unit=foreign", "python3", "-m", "http.server", "8090")
        changed = cluster.intent
        changed["services"]["late"] = {
            **changed["services"]["web"],
            "port": 8090,
            "nodes": [worker],
            "domain": "a.example",
        }
        cluster.write(changed)
        cluster.hold(worker, "/var/lib/dpkg/lock-frontend", 60)
        cluster.fault(off, "power-off")
        wait_until("the program listens", 10, lambda: cluster.reachable("127.0.0.1", 8090, node=worker))
        nodes = cluster.cli("doctor", "--json").expect(1).document["nodes"]
        assert {name for name, node in nodes.items() if node["findings"]} == {worker, off, holder}
        assert f"from {backup} " in nodes[holder]["findings"][0]["what"]
        assert (
            "port 8090, for service late, is in use by python3 (foreign.service)"
            in nodes[worker]["findings"][0]["what"]
        )
        assert "python3 (process " in nodes[worker]["findings"][1]["what"]
        assert nodes[worker]["findings"][1]["what"].endswith("holds /var/lib/dpkg/lock-frontend")
        assert nodes[off]["findings"][0]["what"].startswith("ssh: ")
        assert cluster.holders() == [holder]
    finally:
        cluster.intent_file.write_bytes(intent)
        cluster.fault(off, "power-on")
        cluster.run(holder, "nft", "delete", "table", "inet", "doctor_test", check=False)
        cluster.run(worker, "systemctl", "stop", "foreign", "foreign-apt", check=False)
        cluster.cli("inventory").expect(0)
    wait_until("the node that was off is back", BOOT_SECONDS, cluster.all_workers_answer)
