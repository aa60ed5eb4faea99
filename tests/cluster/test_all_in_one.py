"""Three machines that carry every role, a user who is not root, and an ssh port of their own: a whole cluster."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.cluster.cluster import BOOT_SECONDS, WEB_PORT
from tests.cluster.measure import MIX, note, wait_until
from tests.cluster.monitoring.monitored import complete

if TYPE_CHECKING:
    from tests.cluster.cluster import Cluster

LIVE_SECONDS = 60.0


def test_nodes_are_managed_as_a_user_who_is_not_root(three: Cluster) -> None:
    assert three.intent["ssh"]["user"] == "ops"
    assert three.intent["nodes"]["n3"]["ssh"]["port"] == 2222
    assert three.first_apply is not None
    assert set(three.first_apply.document["nodes"]) >= {"n1", "n2", "n3"}
    for node in three.nodes():
        assert three.succeeds(node, "id", "ops"), f"bootstrap made the user on {node}"


def test_the_second_apply_changes_nothing_and_the_plan_is_empty(three: Cluster) -> None:
    loaded = {lb: three.config_loaded(lb) for lb in three.nodes("lb")}
    result = three.cli("apply", "ha", "--yes", "--json").expect(0)
    assert result.document["changed"] == 0, f"objective: a second apply changes nothing\n{result}"
    assert {lb: three.config_loaded(lb) for lb in loaded} == loaded, "objective: no Caddy loads its configuration again"
    assert three.cli("plan", "ha", "--json").expect(0).document["changes"] == 0


def test_every_load_balancer_reaches_every_worker_and_nobody_else_does(three: Cluster) -> None:
    for node in three.nodes():
        assert three.answering(address=three.address(node)) == {"n1", "n2", "n3"}, f"{node} serves all workers"
        assert not three.reachable(three.address(node), WEB_PORT), f"port {WEB_PORT} of {node} is closed to others"


def test_the_loss_of_a_node_that_is_everything_is_over_within_a_second(three: Cluster) -> None:
    lost = three.holder()
    with three.load() as load:
        load.go_on(3)
        struck = time.time()
        three.fault(lost, "power-off")
        load.go_on(9)
        undone = time.time()
        three.fault(lost, "power-on")
        recovered = wait_until(f"{lost} answers again after it was powered on", BOOT_SECONDS, three.all_workers_answer)
        load.go_on(3)
    measured = three.record("node with all roles powered off", load.report, recovered)
    worst = max(measured.gets.outage_ms, measured.gets.silence_ms)
    assert worst < 1000, f"objective: outage under 1000 ms when {lost} is powered off, measured {worst} ms"
    late = load.report.failures(MIX, since=struck + 2, until=undone)
    assert not late, f"objective: nothing fails any more 2 s after the fault: {late}"
    assert not load.report.failures(since=undone), f"objective: nothing fails when {lost} returns"
    assert measured.posts_run_twice == 0, "objective: no POST without a key is processed twice"
    wait_until("one node holds the floating IP once all are back", 10, lambda: len(three.holders()) == 1)


def test_monitoring_is_enabled_by_one_command_and_a_second_one_changes_nothing(three: Cluster) -> None:
    three.cli("monitor", "enable", "--yes", "--json").expect(0)
    parents = three.nodes()[:2]  # of managers, the first two

    def live() -> bool:
        return complete(three.cli("monitor", "status", "--json").document["nodes"], parents)

    seconds = wait_until("objective: every node is live on both parents", LIVE_SECONDS, live, interval=0.5)
    note("three all-in-one hosts: live on both parents after", f"{seconds:.1f} s", f"{LIVE_SECONDS:g} s")
    again = three.cli("monitor", "enable", "--yes", "--json").expect(0)
    assert again.document["changed"] == 0, f"objective: a second run changes nothing\n{again}"
    assert three.cli("plan", "all", "--json").expect(0).document["changes"] == 0
    assert three.cli("dashboard", "--json").expect(0).document["via"] == "virtual_ip"
