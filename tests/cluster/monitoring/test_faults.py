"""Children that are killed, cut off or given what the parents refuse, all at once: each by name and with its reason."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from nexus_ops.certificates import make_authority
from tests.cluster.measure import note, wait_until
from tests.cluster.monitoring.monitored import wait_for_whole

if TYPE_CHECKING:
    from tests.cluster.monitoring.monitored import Monitored

SHOWN = 30.0  # seconds from the fault until `monitor status` shows it
REPAIRED = 60.0
GONE_ALERT = 90.0  # the alarm waits for a minute: nodes may be on their way to another parent
BACK_ALERT = 60.0  # for 20 s after a node came to it, a parent raises no alarm for it
DISK_ALERT = 120.0
STREAM_CONF = "/etc/netdata/stream.conf"
AUTHORITY = "/etc/netdata/ssl/ca.pem"
FOREIGN_KEY = "00000000-1111-2222-3333-444444444444"

REASONS = {
    "killed": "Netdata is not running on it",
    "cut off": "unreachable over ssh",
    "wrong key": "wrong key: refused by mgr1 and mgr2",
    "foreign authority": "refused certificate: it does not trust mgr1 and mgr2",
}
STATES = {"killed": {"gone"}, "cut off": {"stale", "gone"}, "wrong key": {"gone"}, "foreign authority": {"gone"}}


@dataclass
class Struck:
    """Which child has which fault since when, and after how many seconds the status showed it."""

    nodes: dict[str, str]
    since: float
    shown: dict[str, float] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)

    def look(self, monitored: Monitored) -> bool:
        """Ask for the status, note what it shows for the first time, and return whether all faults were shown."""
        self.last = monitored.status()["nodes"]
        for fault, node in self.nodes.items():
            found = self.last[node]
            if found["state"] in STATES[fault] and REASONS[fault] in found["reason"]:
                self.shown.setdefault(fault, time.monotonic() - self.since)
        return set(self.shown) == set(self.nodes)


@pytest.fixture(scope="module")
def struck(monitored: Monitored) -> Struck:
    """Give each child another fault, and wait until the status shows all of them or the deadline is over."""
    cluster = monitored.cluster
    holder = cluster.holder()
    (other,) = set(cluster.nodes("lb")) - {holder}
    found = Struck({"killed": "w1", "cut off": "w2", "wrong key": holder, "foreign authority": other}, time.monotonic())
    key = f"s/^ *api key = .*/    api key = {FOREIGN_KEY}/"
    cluster.run(holder, "sh", "-c", f"sed -i '{key}' {STREAM_CONF} && systemctl restart netdata")
    monitored.write_on(other, make_authority("somebody else", path_length=0)[0], AUTHORITY)
    cluster.run(other, "systemctl", "restart", "netdata")
    cluster.run("w1", "systemctl", "stop", "netdata")
    cluster.fault("w2", "cut")
    found.since = time.monotonic()
    while not found.look(monitored) and time.monotonic() - found.since < SHOWN:
        time.sleep(0.5)
    return found


@pytest.mark.parametrize("fault", REASONS)
def test_a_fault_is_shown_with_the_nodes_name_and_the_reason(struck: Struck, fault: str) -> None:
    node = struck.nodes[fault]
    found = struck.last[node]
    note(f"child {fault}: shown by monitor status after", f"{struck.shown.get(fault, float('nan')):.1f} s", "30 s")
    assert found["state"] in STATES[fault], f"objective: {node} ({fault}) is shown within {SHOWN:g} s: {found}"
    assert REASONS[fault] in found["reason"], f"objective: {node}'s reason is shown within {SHOWN:g} s: {found}"
    assert struck.shown.get(fault, SHOWN + 1) <= SHOWN, f"objective: {fault} is shown within {SHOWN:g} s"


def test_the_others_stay_live_and_parents_say_so(monitored: Monitored, struck: Struck) -> None:
    for parent in monitored.parents:
        assert struck.last[parent]["state"] == "live", f"nothing is said of {parent}: {struck.last[parent]}"


def test_a_status_with_a_fault_does_not_exit_with_0(monitored: Monitored, struck: Struck) -> None:
    result = monitored.monitor("status").expect(1)
    for fault, node in struck.nodes.items():
        assert any(node in line and REASONS[fault] in line for line in result.out.splitlines()), f"{node}\n{result}"


def test_nodes_that_are_gone_are_told_to_the_webhook_once(monitored: Monitored, struck: Struck) -> None:
    waited = GONE_ALERT - (time.monotonic() - struck.since)
    for node in struck.nodes.values():
        find = partial(
            monitored.webhook.find, since=struck.since, node=node, alarm="nexus_node_gone", status="critical"
        )
        wait_until(f"the webhook hears that {node} is gone, in {GONE_ALERT:g} s", max(0, waited), find)
        (alert, *more) = find()
        assert node in alert.document["text"], f"the text names the node: {alert}"
        assert alert.document["cluster"] == monitored.cluster.name
        note(f"child {node}: alert node gone after", f"{alert.came - struck.since:.1f} s", f"{GONE_ALERT:g} s")
        assert not more, f"two parents tell it once: {[str(alert) for alert in more]}"
    named = {alert.document["node"] for alert in monitored.webhook.find(since=struck.since, alarm="nexus_node_gone")}
    assert named == set(struck.nodes.values()), f"nobody else is said to be gone: {named}"


def test_one_command_repairs_what_was_changed_on_the_nodes(monitored: Monitored, struck: Struck) -> None:
    cluster = monitored.cluster
    cluster.fault("w2", "heal")
    wait_until("w2 answers ssh again", 30, lambda: cluster.reachable(cluster.address("w2"), 22))
    result = monitored.monitor("enable", "--yes", "--json").expect(0)
    changed = {name for name, node in result.document["nodes"].items() if node["changed"]}
    assert {struck.nodes["wrong key"], struck.nodes["foreign authority"]} <= changed, f"both were put right\n{result}"
    seconds = wait_for_whole(monitored, "after monitor enable repaired them", REPAIRED)
    note("children repaired by monitor enable: live on both parents after", f"{seconds:.1f} s", f"{REPAIRED:g} s")


def test_who_came_back_is_told_too(monitored: Monitored, struck: Struck) -> None:
    for node in struck.nodes.values():
        find = partial(monitored.webhook.find, since=struck.since, node=node, alarm="nexus_node_gone", status="clear")
        wait_until(f"the webhook hears that {node} is back", BACK_ALERT, find)


def test_a_child_that_crashes_comes_back_by_itself(monitored: Monitored) -> None:
    monitored.cluster.run("w1", "systemctl", "kill", "--kill-whom=all", "--signal=KILL", "netdata")
    seconds = wait_for_whole(monitored, "after Netdata on w1 was killed", REPAIRED)
    note("child's Netdata crashed: live on both parents again after", f"{seconds:.1f} s", f"{REPAIRED:g} s")


def test_a_disk_that_is_nearly_full_is_told(monitored: Monitored) -> None:
    cluster, began = monitored.cluster, time.monotonic()
    cluster.run("w1", "sh", "-c", "head -c 62500k /dev/zero >/dev/shm/full")  # of 64000k
    find = partial(monitored.webhook.find, since=began, node="w1", alarm="nexus_disk_full", status="critical")
    try:
        wait_until("the webhook hears of the full disk", DISK_ALERT, find)
    finally:
        cluster.run("w1", "rm", "/dev/shm/full")
    alert = find()[0]
    assert "/dev/shm" in alert.document["text"], f"the text names the disk: {alert}"
    note("alert disk nearly full after", f"{alert.came - began:.1f} s", f"{DISK_ALERT:g} s")


def test_the_webhook_is_proved_by_a_test_alert(monitored: Monitored) -> None:
    before = time.monotonic()
    result = monitored.monitor("test-alert", "--json").expect(0)
    for parent in monitored.parents:
        find = partial(monitored.webhook.find, since=before, node=parent, alarm="nexus_test")
        assert find(), f"each parent's way is tried\n{result}\n{json.dumps([str(a) for a in monitored.webhook.alerts])}"


def test_a_webhook_that_refuses_or_is_down_is_told(monitored: Monitored) -> None:
    monitored.webhook.status = 500
    try:
        refused = monitored.monitor("test-alert", "--json")
    finally:
        monitored.webhook.status = 200
    assert refused.code == 1, f"a webhook that refuses is a failure\n{refused}"
    assert "500" in refused.out + refused.err, f"its answer is told\n{refused}"
    with monitored.webhook.closed():
        down = monitored.monitor("test-alert", "--json")
    assert down.code == 1, f"a webhook that is down is a failure\n{down}"
    for result in (refused, down):
        assert "secret-token" not in result.out + result.err, f"its address is a secret\n{result}"
    monitored.monitor("test-alert").expect(0)
