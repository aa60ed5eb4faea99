"""From what the nodes say to what is not as nexus.yml says."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from nexus_ops.asking import Replies
from nexus_ops.errors import ExitCode
from nexus_ops.intent.model import Intent
from nexus_ops.services import evaluate as evaluate_services
from nexus_ops.status import evaluate

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
