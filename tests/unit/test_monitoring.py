"""From what the nodes say to the state of each, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_ops.asking import Replies, ssh_reason
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, UsageError
from nexus_ops.events import Event, Kind, read_event
from nexus_ops.intent.model import Intent
from nexus_ops.intent.write import write_intent
from nexus_ops.monitoring import State, evaluate, require_monitoring
from tests.unit.conftest import Called

INTENT = """\
cluster: test
nodes:
  mgr1: {address: 192.0.2.11, roles: [manager]}
  mgr2: {address: 192.0.2.12, roles: [manager]}
  lb1: {address: 192.0.2.21, roles: [lb]}
  w1: {address: 192.0.2.31, roles: [worker]}
monitoring: {retention_days: 1}
"""
NAMES = ("mgr1", "mgr2", "lb1", "w1")
NOW = 1_800_000_000.0
GUIDS = {name: f"guid-{name}" for name in NAMES}


@pytest.fixture
def cluster(environment: Environment) -> Intent:
    return write_intent(environment, INTENT)


def seen(state: str = "live", lag: float | None = 0.5, hops: int | None = 1) -> dict[str, Any]:
    return {"state": state, "lag_seconds": lag, "hops": hops}


def sender(**changes: Any) -> dict[str, Any]:
    """What a node says of itself when all is well."""
    return {
        "installed": True,
        "running": True,
        "unit_state": "active",
        "unit_result": "success",
        "seconds_running": 1000,
        "log": "",
        "streams": True,
        "destinations": ["192.0.2.11", "192.0.2.12"],
        "outdated": False,
        "connected": ["192.0.2.11"],
        "guid": "guid-w1",
        "clock": NOW,
        **changes,
    }


def view(parent: str, **changes: dict[str, Any]) -> dict[str, Any]:
    nodes = {name: seen(hops=1 if parent == "mgr1" else 2) for name in NAMES} | {parent: seen(hops=0)} | changes
    return {
        "version": "v1.37.1",
        "guid": GUIDS[parent],
        "nodes": nodes,
        "absent": [name for name, each in nodes.items() if each["state"] != "live"],
        "others": [],
        "guids": {guid: name for name, guid in GUIDS.items()},
    }


def replies(**changes: dict[str, Any]) -> Replies:
    """Return what comes back from a cluster in which all is well, with `changes` in both parents' views."""
    found = Replies()
    for parent in ("mgr1", "mgr2"):
        found.reports[parent] = {"view": view(parent, **changes), "sender": sender(guid=GUIDS[parent])}
        found.received[parent] = NOW
    return found


def add_word(found: Replies, probes: dict[str, Any] | None = None, **changes: Any) -> Replies:
    """Add what w1 says of itself to `found`."""
    accepted = {parent: {"result": "accepted", "detail": ""} for parent in ("mgr1", "mgr2")}
    found.reports["w1"] = {"sender": sender(**changes), "probes": accepted | (probes or {})}
    found.received["w1"] = NOW
    return found


def test_all_is_well(cluster: Intent) -> None:
    status = evaluate(cluster, replies())
    assert status.exit_code is ExitCode.DONE
    document = status.document()
    assert document["ok"] is True
    assert document["nodes"]["w1"] == {
        "state": "live",
        "lag_seconds": 0.5,
        "streams_to": "mgr1",
        "parents": {"mgr1": {"state": "live", "lag_seconds": 0.5}, "mgr2": {"state": "live", "lag_seconds": 0.5}},
        "reason": "",
    }
    assert document["parents"]["mgr1"] == {"answers": True, "version": "v1.37.1", "reason": "", "others": []}


GONE = {"w1": seen("gone", None, None)}
STALE = {"w1": seen("stale", 40.0)}


def refused(result: str, detail: str = "", *parents: str) -> dict[str, Any]:
    return {parent: {"result": result, "detail": detail} for parent in parents or ("mgr1", "mgr2")}


@pytest.mark.parametrize(
    ("found", "state", "reason"),
    [
        (replies(**GONE), "gone", ""),
        (add_word(replies(**GONE), installed=False), "gone", "not set up yet: Netdata is not installed on it"),
        (
            add_word(replies(**GONE), running=False, unit_state="inactive"),
            "gone",
            "Netdata is not running on it (stopped)",
        ),
        (
            add_word(
                replies(**GONE), running=False, unit_state="failed", unit_result="exit-code", log="FATAL: no memory"
            ),
            "gone",
            "Netdata is not running on it (failed, exit-code): FATAL: no memory",
        ),
        (
            add_word(replies(**GONE), streams=False),
            "gone",
            "not set up yet: its Netdata has no parent to stream to",
        ),
        (
            add_word(replies(**GONE), refused("key_refused")),
            "gone",
            "wrong key: refused by mgr1 and mgr2",
        ),
        (
            add_word(replies(**GONE), refused("key_refused", "", "mgr2")),
            "gone",
            "wrong key: refused by mgr2",
        ),
        (add_word(replies(**GONE), refused("no_key")), "gone", "wrong key: its stream.conf has none"),
        (
            add_word(replies(**GONE), refused("certificate_refused", "self-signed certificate")),
            "gone",
            "refused certificate: it does not trust mgr1 and mgr2 (self-signed certificate)",
        ),
        (
            add_word(replies(**GONE), refused("authority_missing", "/etc/netdata/ssl/ca.pem")),
            "gone",
            "refused certificate: its certificate authority is missing (/etc/netdata/ssl/ca.pem)",
        ),
        (
            add_word(replies(**STALE), refused("unreachable", "timed out")),
            "stale",
            "it cannot reach mgr1 and mgr2 (timed out)",
        ),
        (
            add_word(
                replies(**GONE),
                refused("unreachable", "connection refused", "mgr1") | refused("key_refused", "", "mgr2"),
            ),
            "gone",
            "it cannot reach mgr1 (connection refused); wrong key: refused by mgr2",
        ),
        (
            add_word(replies(**GONE), destinations=["192.0.2.99"]),
            "gone",
            "it is not set up to stream to mgr1 and mgr2",
        ),
        (
            add_word(replies(**GONE), guid="guid-lb1"),
            "gone",
            "it has the GUID of lb1, as cloned machines do: parents take the two for one",
        ),
        (add_word(replies(**STALE), clock=NOW - 63), "stale", "its clock is 63 s behind that of mgr1"),
        (add_word(replies(**STALE), clock=NOW + 63), "stale", "its clock is 63 s ahead of that of mgr1"),
        (
            add_word(replies(**GONE), outdated=True),
            "gone",
            "its Netdata runs with older settings than its files have: restart it",
        ),
        (add_word(replies(**GONE), seconds_running=7), "gone", "its Netdata started 7 s ago"),
        (
            add_word(replies(**STALE)),
            "stale",
            "it is connected to mgr1, where no new values arrive",
        ),
        (
            add_word(replies(**GONE), connected=[]),
            "gone",
            "no cause found: mgr1 and mgr2 would take its stream; Netdata tries again within two minutes",
        ),
    ],
)
def test_what_is_wrong_with_a_node(cluster: Intent, found: Replies, state: str, reason: str) -> None:
    status = evaluate(cluster, found)
    assert (status.nodes["w1"].state, status.nodes["w1"].reason) == (state, reason)
    assert status.exit_code is ExitCode.FAILED
    assert status.document()["ok"] is False
    assert status.nodes["lb1"].complete


def test_a_node_that_ssh_does_not_reach(cluster: Intent) -> None:
    found = replies(**STALE)
    found.silent["w1"] = "connect to host 192.0.2.31 port 22: No route to host"
    node = evaluate(cluster, found).nodes["w1"]
    assert node.state is State.STALE
    assert node.lag_seconds == 40.0
    assert node.reason == "unreachable over ssh: connect to host 192.0.2.31 port 22: No route to host"


def test_a_node_that_may_not_be_asked(cluster: Intent) -> None:
    found = replies(**GONE)
    found.failed["w1"] = "Missing sudo password"
    assert evaluate(cluster, found).nodes["w1"].reason == "cannot be asked: Missing sudo password"


def test_live_on_one_parent_only_is_not_whole(cluster: Intent) -> None:
    found = add_word(replies(), refused("key_refused", "", "mgr2"))
    found.reports["mgr2"]["view"] = view("mgr2", **GONE)
    status = evaluate(cluster, found)
    assert status.nodes["w1"].state is State.LIVE
    assert status.nodes["w1"].streams_to == "mgr1"
    assert status.nodes["w1"].reason == "its values arrive at mgr1, which does not pass them on to mgr2"
    assert status.exit_code is ExitCode.FAILED


def test_a_parent_that_is_lost(cluster: Intent) -> None:
    found = replies(mgr2=seen("gone", None, None), w1=seen(hops=1))
    del found.reports["mgr2"]
    found.silent["mgr2"] = "connect to host 192.0.2.12 port 22: Connection timed out"
    status = evaluate(cluster, found)
    assert status.exit_code is ExitCode.FAILED
    assert status.nodes["w1"].document() == {
        "state": "live",
        "lag_seconds": 0.5,
        "streams_to": "mgr1",
        "parents": {"mgr1": {"state": "live", "lag_seconds": 0.5}, "mgr2": {"state": "unknown", "lag_seconds": None}},
        "reason": "",
    }
    assert status.nodes["mgr2"].state is State.GONE
    assert status.nodes["mgr2"].reason.startswith("unreachable over ssh: connect to host 192.0.2.12")
    assert status.parents["mgr2"].reason == status.nodes["mgr2"].reason


def test_a_parent_whose_netdata_does_not_run(cluster: Intent) -> None:
    found = replies(mgr2=seen("gone", None, None))
    stopped = sender(running=False, unit_state="inactive")
    found.reports["mgr2"] = {"view": {"problem": "its API does not answer: connection refused"}, "sender": stopped}
    status = evaluate(cluster, found)
    assert status.parents["mgr2"].reason == "Netdata is not running on it (stopped)"
    assert status.nodes["mgr2"].reason == "Netdata is not running on it (stopped)"
    assert status.exit_code is ExitCode.FAILED


def test_a_parent_whose_netdata_hangs(cluster: Intent) -> None:
    found = replies()
    found.reports["mgr2"] = {"view": {"problem": "its API does not answer: timed out"}, "sender": sender()}
    status = evaluate(cluster, found)
    assert status.parents["mgr2"].reason == "its API does not answer: timed out"
    assert status.exit_code is ExitCode.FAILED


def test_no_parent_is_reached(cluster: Intent) -> None:
    found = Replies(silent=dict.fromkeys(("mgr1", "mgr2"), "Connection timed out"))
    add_word(found, refused("reached"))
    status = evaluate(cluster, found)
    assert status.exit_code is ExitCode.UNREACHABLE
    assert status.document()["error"] == {"message": "no parent could be reached"}
    assert {node.state for node in status.nodes.values()} == {State.GONE}
    reason = status.nodes["w1"].reason
    assert reason == "no parent could be asked about it; its stream is connected to mgr1"


def test_nothing_is_set_up_yet(cluster: Intent) -> None:
    found = Replies()
    for name in NAMES:
        found.reports[name] = {"sender": sender(installed=False, running=False, streams=False)}
        found.received[name] = NOW
    status = evaluate(cluster, found)
    assert status.exit_code is ExitCode.FAILED, "the parents were reached"
    assert {node.reason for node in status.nodes.values()} == {"not set up yet: Netdata is not installed on it"}


def test_a_single_parent_that_has_no_one_to_stream_to(environment: Environment) -> None:
    text = INTENT.replace("  mgr2: {address: 192.0.2.12, roles: [manager]}\n", "")
    found = replies()
    del found.reports["mgr2"]
    assert evaluate(write_intent(environment, text), found).exit_code is ExitCode.DONE


def test_foreign_nodes_are_named(cluster: Intent) -> None:
    found = replies()
    found.reports["mgr1"]["view"]["others"] = ["old"]
    assert evaluate(cluster, found).document()["parents"]["mgr1"]["others"] == ["old"]


def test_reports_are_collected_from_events() -> None:
    found = Replies()
    raw = {"event": "runner_on_ok", "event_data": {"host": "w1", "res": {"changed": False, "report": {"view": {}}}}}
    event = read_event(raw)
    assert event is not None
    found.take(event)
    found.take(Event(Kind.OK, "w1", report={"probes": {}}))
    found.take(Event(Kind.OK, "w2"))
    found.take(Event(Kind.UNREACHABLE, "w3", message="Failed to connect to the host via ssh: ssh: connect: refused"))
    found.take(Event(Kind.FAILED, "w4", message="no"))
    assert found.reports == {"w1": {"view": {}, "probes": {}}}
    assert found.silent == {"w3": "connect: refused"}
    assert found.failed == {"w4": "no"}


def test_of_a_banner_only_the_reason_is_kept() -> None:
    message = (
        "Failed to connect to the host via ssh: ****\nWelcome\n****\nops@192.0.2.1: Permission denied (publickey)."
    )
    assert ssh_reason(message) == "ops@192.0.2.1: Permission denied (publickey)."
    message = (
        'Task failed: Data could not be sent to remote host "192.0.2.1". Make sure this host can be reached over ssh: '
        "ssh: connect to host 192.0.2.1 port 22: Connection timed out\r\n"
    )
    assert ssh_reason(message) == "connect to host 192.0.2.1 port 22: Connection timed out"
    assert ssh_reason("") == "no answer"


def test_without_monitoring_there_is_nothing_to_ask(environment: Environment) -> None:
    intent = write_intent(environment, INTENT.replace("monitoring: {retention_days: 1}\n", ""))
    with pytest.raises(UsageError, match="not enabled") as caught:
        require_monitoring(environment, intent)
    assert "monitor enable" in caught.value.next_step


@pytest.mark.parametrize("command", [("monitor", "status"), ("dashboard",), ("dashboard", "--tunnel")])
@pytest.mark.parametrize("as_json", [True, False])
def test_commands_say_that_monitoring_is_off(
    environment: Environment, call: Callable[..., Called], command: tuple[str, ...], as_json: bool
) -> None:
    write_intent(environment, INTENT.replace("monitoring: {retention_days: 1}\n", ""))
    called = call(*command, *(["--json"] if as_json else []))
    assert called.code == 2
    assert "monitoring is not enabled" in called.err
    assert not as_json or called.document["ok"] is False


@pytest.mark.parametrize(
    "arguments", [("monitor", "status", "w1"), ("monitor", "status", "--nonsense"), ("monitor", "state")]
)
def test_wrong_calls(environment: Environment, call: Callable[..., Called], arguments: tuple[str, ...]) -> None:
    write_intent(environment, INTENT)
    called = call(*arguments)
    assert called.code == 2
    assert called.out == ""
