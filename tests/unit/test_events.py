"""Events of ansible-runner, reduced."""

from __future__ import annotations

from typing import Any

from nexus_ops.events import Event, Kind, failure_message, read_event


def read(event: str, **data: Any) -> Event:
    found = read_event({"event": event, "event_data": {"host": "w1", "task": "Step", **data}, "pid": 7})
    assert found is not None
    return found


def test_changed_with_several_diffs() -> None:
    diffs = [{"before": "a\n", "after": "b\n", "before_header": "/etc/x"}, {"prepared": "user nexus is made\n"}]
    event = read("runner_on_ok", res={"changed": True, "diff": diffs})
    assert event.kind is Kind.CHANGED
    assert [change.text for change in event.changes] == [
        "--- /etc/x\n+++ /etc/x\n@@ -1 +1 @@\n-a\n+b",
        "user nexus is made",
    ]


def test_changed_without_a_diff_still_counts() -> None:
    event = read("runner_on_ok", res={"changed": True, "steps": ["reload caddy.service"]})
    assert [change.text for change in event.changes] == ["reload caddy.service"]
    assert read("runner_on_ok", res={"changed": True}).changes


def test_loop_results() -> None:
    items = [{"changed": True, "diff": {"prepared": "one"}}, {"changed": False, "diff": {"prepared": "two"}}]
    event = read("runner_on_ok", res={"changed": True, "results": items})
    assert [change.text for change in event.changes] == ["one"]


def test_failures() -> None:
    assert read("runner_on_failed", res={"msg": "no space"}).message == "no space"
    half = read("runner_on_failed", res={"msg": "no space", "changed": True, "steps": ["write /etc/x"]})
    assert [change.text for change in half.changes] == ["write /etc/x"]
    assert read("runner_on_failed", res={"msg": "x"}, ignore_errors=True).kind is Kind.IGNORED
    assert read("runner_on_unreachable", res={"msg": "timed out"}).kind is Kind.UNREACHABLE
    hung_up = (
        "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 192.0.2.32 port 22\r\n"
    )
    refused = read("runner_on_unreachable", res={"msg": hung_up}).message
    assert "192.0.2.32 port 22 (sshd may refuse this machine for a while" in refused
    crash = {"msg": "MODULE FAILURE\nSee stdout", "module_stderr": "Traceback\nOSError: No space left on device"}
    assert failure_message(crash) == "OSError: No space left on device"
    items = {"msg": "One or more items failed", "results": [{"failed": True, "msg": "a"}, {"failed": True, "msg": "a"}]}
    assert failure_message(items) == "a"
    assert failure_message({}) == "failed without a message"


def test_stats() -> None:
    event = read("playbook_on_stats", ok={"w1": 3, "w2": 1}, changed={"w1": 2}, dark={"w3": 1}, failures={"w2": 1})
    assert event.stats == {
        "w1": {"ok": 3, "changed": 2, "failed": 0, "unreachable": 0},
        "w2": {"ok": 1, "changed": 0, "failed": 1, "unreachable": 0},
        "w3": {"ok": 0, "changed": 0, "failed": 0, "unreachable": 1},
    }
