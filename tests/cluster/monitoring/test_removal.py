"""Nodes come and go, and at last the monitoring itself: what it put on the nodes goes with it, the history stays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.cluster.measure import wait_until
from tests.cluster.monitoring.conftest import LIVE_SECONDS
from tests.cluster.monitoring.monitored import PAGE, STREAMS, gaps, wait_for_whole

if TYPE_CHECKING:
    from tests.cluster.monitoring.monitored import Monitored

LEAVES = "w2"
CHART = "system.uptime"


def test_a_node_that_is_taken_out_disappears(monitored: Monitored) -> None:
    cluster = monitored.cluster
    intent = cluster.intent
    without = {**intent, "nodes": {name: node for name, node in intent["nodes"].items() if name != LEAVES}}
    without["services"]["status"]["nodes"] = ["w1"]
    cluster.write(without)
    cluster.cli("apply", "all", "--yes", "--json").expect(0)
    assert not cluster.succeeds(LEAVES, "systemctl", "is-active", "netdata"), f"Netdata on {LEAVES} is stopped"
    status = monitored.status()
    assert LEAVES not in status["nodes"], f"{LEAVES} is not listed any more: {status['nodes'].keys()}"
    shown = {node["name"] for node in monitored.get(cluster.virtual_ip, f"{PAGE}nexus.json").json()["nodes"]}
    assert shown == set(cluster.nodes()), f"the page does not list {LEAVES} any more"
    assert cluster.cli("plan", "all", "--json").expect(0).document["changes"] == 0


def test_a_node_that_is_added_joins_by_the_same_command(monitored: Monitored) -> None:
    cluster = monitored.cluster
    intent = cluster.intent
    address = cluster.address("w1").rpartition(".")[0] + ".32"
    intent["nodes"][LEAVES] = {"address": address, "roles": ["worker"]}
    intent["services"]["status"]["nodes"] = ["w1", LEAVES]
    cluster.write(intent)
    cluster.cli("apply", "all", "--yes", "--json").expect(0)
    seconds = wait_for_whole(monitored, f"after {LEAVES} joined", LIVE_SECONDS)
    assert seconds < LIVE_SECONDS, f"objective: {LEAVES} is live on both parents within {LIVE_SECONDS:g} s"


def test_disable_removes_what_was_put_there_and_keeps_the_history(monitored: Monitored) -> None:
    cluster = monitored.cluster
    began = time.time() - 60
    monitored.monitor("disable", "--yes", "--json").expect(0)
    ended = time.time() - 20
    assert cluster.intent["monitoring"]["enabled"] is False
    for node in cluster.nodes():
        assert not cluster.run(node, "pgrep", "--list-name", "netdata", check=False), f"no Netdata runs on {node}"
        assert "19999" not in cluster.run(node, "ss", "-Hltn"), f"port {STREAMS} of {node} is closed"
        assert "nexus_streams" not in cluster.run(node, "nft", "list", "tables", check=False), (
            f"its table on {node} is gone"
        )
        assert not cluster.succeeds(node, "test", "-e", "/etc/netdata/stream.conf"), f"no key is left on {node}"
    for address in monitored.addresses().values():
        answer = monitored.get(address)
        assert "uPlot" not in answer.text, f"the dashboard is gone from {address}: {answer.status_code}"
    wait_until("every worker still answers", 10, cluster.all_workers_answer)
    again = monitored.monitor("disable", "--yes", "--json").expect(0)
    assert again.document["changed"] == 0, f"a second disable changes nothing\n{again}"
    assert cluster.cli("plan", "all", "--json").expect(0).document["changes"] == 0, "and nothing is pending"

    monitored.monitor("enable", "--yes", "--json").expect(0)
    wait_for_whole(monitored, "after monitoring was enabled again", LIVE_SECONDS)
    for parent in monitored.parents:
        missing = gaps(monitored.history(parent, "w1", CHART, began, ended), began, ended)
        assert len(missing) < 10, f"{parent} kept the history of w1: nothing for {missing}"
