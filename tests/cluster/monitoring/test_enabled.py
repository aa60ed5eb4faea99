"""Monitoring is enabled by one command, and a second one changes nothing (objectives: issue 3, "Done when")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.monitoring.conftest import LIVE_SECONDS
from tests.cluster.monitoring.monitored import complete

if TYPE_CHECKING:
    from tests.cluster.monitoring.monitored import Monitored


def test_every_node_is_live_on_both_parents_within_a_minute(monitored: Monitored) -> None:
    assert monitored.lived_after < LIVE_SECONDS, (
        f"objective: live within {LIVE_SECONDS:g} s, not {monitored.lived_after}"
    )
    status = monitored.status()
    assert set(status["nodes"]) == set(monitored.cluster.nodes())
    assert complete(status["nodes"], ["mgr1", "mgr2"]), f"objective: every node is live on both parents: {status}"
    assert status["ok"] is True
    for name, node in status["nodes"].items():
        assert node["lag_seconds"] <= 15, f"{name} lags {node['lag_seconds']} s; live means at most 15 s"
        assert not node["reason"], f"a node that is live needs no reason: {name}: {node['reason']}"


def test_the_first_run_tells_what_it_changed(monitored: Monitored) -> None:
    document = monitored.first.document
    assert document["ok"] is True
    assert document["changed"] > 0
    assert set(document["nodes"]) >= set(monitored.cluster.nodes())


def test_the_second_run_changes_nothing_and_the_plans_are_empty(monitored: Monitored) -> None:
    again = monitored.monitor("enable", "--yes", "--json").expect(0)
    assert again.document["changed"] == 0, f"objective: a second run changes nothing\n{again}"
    for part in ("monitoring", "all"):
        plan = monitored.cluster.cli("plan", part, "--json").expect(0)
        assert plan.document["changes"] == 0, f"objective: plan {part} finds nothing to do\n{plan}"


def test_no_secret_is_in_what_was_printed_or_recorded(monitored: Monitored) -> None:
    folder = monitored.cluster.folder
    secrets = [
        monitored.password,
        *((folder / "secrets" / name).read_text().strip() for name in ("stream_api_key", "parent_api_key")),
    ]
    printed = monitored.first.out + monitored.first.err
    recorded = [path for path in (folder / "runs").rglob("*") if path.is_file()]
    assert recorded
    for secret in secrets:
        assert secret not in printed, "a secret is on the screen"
        for path in [*recorded, folder / "hosts.yml"]:
            assert secret not in path.read_text(errors="replace"), f"a secret is in {path}"
    for path in (folder / "secrets").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, f"{path} is for its owner alone"


def test_children_are_all_different_and_listen_nowhere(monitored: Monitored) -> None:
    cluster = monitored.cluster
    guids = {cluster.run(node, "cat", "/var/lib/netdata/registry/netdata.public.unique.id") for node in cluster.nodes()}
    assert len(guids) == len(cluster.nodes()), "each node has a machine GUID of its own"
    for node in monitored.children:
        sockets = cluster.run(node, "ss", "-Hltunp")
        assert "netdata" not in sockets, f"Netdata on {node} opens no port: {sockets}"
