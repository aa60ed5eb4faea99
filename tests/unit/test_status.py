"""From what the nodes say to what is not as nexus.yml says."""

from __future__ import annotations

import copy
import dataclasses
import socket
import threading
from typing import Any

import pytest

from nexus_ops.asking import Replies
from nexus_ops.errors import ExitCode
from nexus_ops.intent.model import Intent, Monitoring
from nexus_ops.services import evaluate as evaluate_services
from nexus_ops.status import evaluate, still_there

UPSTREAMS = {"w1": "192.0.2.31:8080", "w2": "192.0.2.32:8080"}


def lb(**changes: Any) -> dict[str, Any]:
    return {
        "lb": {
            "holds_virtual_ip": False,
            "units": {"caddy.service": "active", "keepalived.service": "active"},
            "problem": "",
            "routing": {"web": {"upstreams": UPSTREAMS}},
            "upstreams": {"web": {"w1": "", "w2": ""}},
            **changes,
        }
    }


def worker(**changes: Any) -> dict[str, Any]:
    entry = {
        "wanted": True,
        "release": "aaa1",
        "since": 1_800_000_000.0,
        "by": "ops@desk",
        "port": 8080,
        "problem": "",
        "drift": [],
        "held": "",
        "releases": ["aaa1"],
        "history": [{"release": "aaa1", "verdict": "good", "time": 1.0, "by": "ops@desk", "reason": ""}],
        **changes,
    }
    return {"services": {"web": entry}}


WHOLE = {"lb1": lb(holds_virtual_ip=True), "lb2": lb(), "w1": worker(), "w2": worker()}


def replies(silent: dict[str, str] | None = None, **changes: dict[str, Any]) -> Replies:
    silent = silent or {}
    reports = {name: found for name, found in {**copy.deepcopy(WHOLE), **changes}.items() if name not in silent}
    return Replies(reports=reports, silent=silent)


def test_a_whole_cluster(intent: Intent) -> None:
    status = evaluate(intent, replies())
    assert status.problems == ()
    assert status.exit_code is ExitCode.DONE
    document = status.document(intent, None)
    assert document["ok"] is True
    assert document["lbs"]["lb1"] == {
        "holds_virtual_ip": True,
        "problem": "",
        "upstreams": {"web": {"w1": "up", "w2": "up"}},
    }
    assert document["services"]["web"]["nodes"]["w2"]["healthy"] is True


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lb1": lb()}, "nobody holds the floating IP 192.0.2.100"),
        ({"lb2": lb(holds_virtual_ip=True)}, "the floating IP 192.0.2.100 is held by lb1 and lb2"),
        (
            {"lb2": lb(units={"caddy.service": "failed", "keepalived.service": "active"})},
            "load balancer lb2: caddy does not run",
        ),
        ({"lb2": lb(routing={}, units={"caddy.service": "inactive"})}, "load balancer lb2: it is not set up yet"),
        ({"lb2": lb(upstreams={"web": {"w1": "no route", "w2": ""}})}, "web on w1: lb2 sends it no requests: no route"),
        (
            {"lb2": lb(front={"web": "http://(any host name)/: answer 502 from the load balancer itself"})},
            "web: clients of lb2 get no good answer: http://(any host name)/: answer 502 from the load balancer itself",
        ),
        (
            {"lb2": lb(routing={"web": {"upstreams": {"w1": "192.0.2.31:8080"}}})},
            "web on w2: lb2 does not have it as nexus.yml says",
        ),
        ({"w1": worker(problem="it is failed")}, "web on w1: it is failed"),
        ({"w1": worker(drift=["its unit changed"])}, "web on w1: its unit changed"),
        ({"w1": worker(release="bbb2")}, "web runs in 2 releases: aaa1 and bbb2"),
        ({"w1": {"services": {}}}, "web on w1: it is not deployed there yet"),
    ],
)
def test_what_is_not_as_declared(intent: Intent, changes: dict[str, Any], problem: str) -> None:
    status = evaluate(intent, replies(**changes))
    assert problem in status.problems
    assert status.exit_code is ExitCode.FAILED


def verdict(release: str, verdict: str, time: float, reason: str = "") -> dict[str, Any]:
    return {"release": release, "verdict": verdict, "time": time, "by": "ops@desk", "reason": reason}


def test_an_abandoned_release_is_a_problem_until_another_verdict_is_passed(intent: Intent) -> None:
    good = verdict("aaa1", "good", 1.0)
    switched = [good, verdict("bbb2", "good", 2.0), good, verdict("bbb2", "abandoned", 4.0, "the rollout failed")]
    failed = [good, verdict("bbb2", "abandoned", 3.0, "GET /healthz:\n500")]
    status = evaluate(intent, replies(w1=worker(history=switched), w2=worker(history=failed)))
    assert status.exit_code is ExitCode.FAILED
    (problem,) = status.document(intent, None)["problems"]
    assert problem.startswith("web: release bbb2 was abandoned (w2: GET /healthz: 500); mend it")
    rolled_back = [verdict("bbb2", "good", 2.0), good, verdict("bbb2", "rolled back", 3.0)]
    assert evaluate(intent, replies(w1=worker(history=rolled_back), w2=worker(history=rolled_back))).ok
    assert evaluate(intent, replies(w1=worker(history=[*switched, good]), w2=worker(history=[*failed, good]))).ok


def test_a_floating_ip_on_a_node_that_is_no_load_balancer(intent: Intent) -> None:
    both = evaluate(intent, replies(w1={**worker(), "has_virtual_ip": True}))
    words = "the floating IP 192.0.2.100 is held by {}; w1 is no load balancer in nexus.yml: run apply"
    assert both.problems == (words.format("lb1 and w1"),)
    assert both.document(intent, None)["virtual_ip_holders"] == ["lb1", "w1"]
    alone = evaluate(intent, replies(lb1=lb(), w1={**worker(), "has_virtual_ip": True}))
    assert alone.problems == (words.format("w1"),)


def test_a_lock_that_a_stranger_has(intent: Intent) -> None:
    ours = {"by": "ops@desk", "command": "apply ha", "pid": 7}
    assert evaluate(intent, replies(), locks={"mgr1": ours, "lb1": None}).ok
    status = evaluate(intent, replies(), locks={"mgr1": {"pid": 7, "stranger": "process 7 (cat) of nexus-web"}})
    assert status.problems == (
        "process 7 (cat) of nexus-web has the lock on mgr1, and is no run of Nexus Ops: end it there",
    )
    assert status.exit_code is ExitCode.FAILED
    assert status.document(intent, None)["lock"]["mgr1"]["pid"] == 7


def test_a_silent_worker_is_named_once(intent: Intent) -> None:
    doubtful = {name: lb(upstreams={"web": {"w1": "", "w2": "no route"}}) for name in ("lb1", "lb2")}
    doubtful["lb1"]["lb"]["holds_virtual_ip"] = True
    status = evaluate(intent, replies({"w2": "no answer"}, **doubtful))
    assert status.problems == ("w2 does not answer: no answer",)
    assert status.document(intent, None)["lbs"]["lb1"]["upstreams"]["web"] == {"w1": "up", "w2": "down"}


def test_nobody_answers(intent: Intent) -> None:
    assert evaluate(intent, Replies(silent=dict.fromkeys(intent.nodes, "no answer"))).exit_code is ExitCode.UNREACHABLE


def test_services(intent: Intent) -> None:
    found = evaluate_services(intent, replies(w2=worker(drift=["release aaa1 becomes bbb2"])))
    assert found.exit_code is ExitCode.FAILED
    web = found.document()["services"]["web"]
    assert web["releases"] == ["aaa1"]
    assert web["nodes"]["w1"]["since"] == "2027-01-15T08:00:00+00:00"
    assert web["nodes"]["w2"]["drift"] == ["release aaa1 becomes bbb2"]
    assert evaluate_services(intent, replies()).exit_code is ExitCode.DONE


def watched(intent: Intent, *managers: str) -> Intent:
    node = intent.nodes["mgr1"]
    nodes = {
        **{
            name: dataclasses.replace(node, name=name, address=f"192.0.2.{10 + place}")
            for place, name in enumerate(managers)
        }
    }
    return dataclasses.replace(intent, nodes=nodes, services={}, monitoring=Monitoring(enabled=True))


def parent(own: str, **seen: str) -> dict[str, Any]:
    hops = {name: 0 if name == own else None for name in seen}
    nodes = {name: {"state": state, "lag_seconds": 1.0, "hops": hops[name]} for name, state in seen.items()}
    sender = {
        "installed": True,
        "running": True,
        "clock": 0.0,
        "streams": True,
        "guid": own,
        "destinations": [],
        "connected": [],
        "outdated": False,
        "seconds_running": 900,
        "log": "",
    }
    absent = [name for name, state in seen.items() if state != "live"]
    view = {"version": "1", "guid": own, "nodes": nodes, "absent": absent, "others": [], "guids": {}}
    return {"view": view, "sender": sender, "free": 10**9}


def test_a_parent_that_sees_itself_alone_is_not_live(intent: Intent) -> None:
    """Two parents that do not stream to each other: each is live at home, and gone at the other one."""
    reports = {"m1": parent("m1", m1="live", m2="gone"), "m2": parent("m2", m1="gone", m2="live")}
    received = {"m1": 0.0, "m2": 0.0}
    status = evaluate(watched(intent, "m1", "m2"), Replies(reports=reports, received=received))
    assert status.streaming == {"m1": "gone", "m2": "gone"}
    assert "monitoring: m1 and m2 not live; see: monitor status" in status.problems


def test_a_parent_without_room_and_one_that_does_not_answer(intent: Intent) -> None:
    full = {**parent("m1", m1="live", m2="live"), "free": 3 * 1024**2}
    mute = {**parent("m2"), "view": {"problem": "its API does not answer: connection refused"}}
    received = {"m1": 0.0, "m2": 0.0}
    status = evaluate(watched(intent, "m1", "m2"), Replies(reports={"m1": full, "m2": mute}, received=received))
    assert status.problems == (
        "monitoring: parent m1: 3 MiB are free for what Netdata records",
        "monitoring: parent m2: its API does not answer: connection refused",
    )


def test_a_dashboard_without_data_and_a_machine_that_was_not_cleaned_up(intent: Intent) -> None:
    status = evaluate(intent, replies(), {"lb1": "HTTP 502: no parent answers", "lb2": ""}, ["w3"])
    assert status.problems == (
        "dashboard through lb1: HTTP 502: no parent answers",
        "w3 has something left of what nexus.yml no longer names there: run apply",
    )


def test_a_machine_that_is_gone_for_good_is_no_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = {"ansible_host": "127.0.0.1", "ansible_port": server.getsockname()[1]}
        with socket.create_server(("127.0.0.1", 0)) as closed:
            gone = {"ansible_host": "127.0.0.1", "ansible_port": closed.getsockname()[1]}
        children: dict[str, Any] = {"retired_worker": {"hosts": {"w3": {}, "w4": {}}}}
        inventory = {"all": {"hosts": {"w3": there, "w4": gone}, "children": children}}
        greeter = threading.Thread(target=lambda: server.accept()[0].sendall(b"SSH-2.0-test\r\n"))
        greeter.start()
        assert still_there(inventory) == ["w3"]
        greeter.join()
