"""Which fault is done to which node, and which is not since nobody could survive it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from nexus_ops.drill import Fault
from nexus_ops.drill.plan import CADDY_UNITS, Options, Plan, make_plan
from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.intent.model import Intent
from nexus_ops.intent.write import write_intent
from tests.unit.conftest import INTENT, Called

THREE = """\
cluster: three
nodes:
  n1: {address: 192.0.2.11, roles: [manager, lb, worker]}
  n2: {address: 192.0.2.12, roles: [manager, lb, worker]}
services:
  web: {source: {path: apps/web}, command: "true", port: 8080}
  api: {source: {path: apps/web}, command: "true", port: 8081, nodes: [n1], domain: api.example.com}
"""


def plan(intent: Intent, *, sandbox: bool = False, here: str = "", **options: Any) -> Plan:
    return make_plan(intent, Options(**options), sandbox=sandbox, is_here=lambda address: address == here)


def faults(found: Plan) -> dict[str, list[str]]:
    by_node: dict[str, list[str]] = {}
    for step in found.steps:
        by_node.setdefault(step.node, []).append(" ".join(filter(None, (step.fault, step.killed))))
    return by_node


def test_every_node_has_the_faults_of_its_role_and_power_only_where_it_can_be_switched_on(intent: Intent) -> None:
    assert faults(plan(intent)) == {
        "mgr1": ["cut"],
        "lb1": ["stop", "cut", "freeze"],
        "lb2": ["stop", "cut", "freeze"],
        "w1": ["kill web", "cut", "freeze"],
        "w2": ["kill web", "cut", "freeze"],
    }
    assert faults(plan(intent, sandbox=True))["mgr1"] == ["cut", "power-off"]
    assert faults(plan(intent, sandbox=True))["w1"] == ["kill web", "cut", "freeze", "power-off"]


def test_a_freeze_is_of_the_nodes_own_units_where_the_machine_cannot_be_frozen(intent: Intent) -> None:
    units = {(step.node, step.fault): step.units for step in plan(intent).steps}
    assert units["w1", Fault.FREEZE] == units["w1", Fault.KILL] == ("nexus-service-web.service",)
    assert units["lb1", Fault.FREEZE] == ("caddy.service",)
    assert units["lb1", Fault.STOP] == CADDY_UNITS
    assert {step.units for step in plan(intent, sandbox=True).steps if step.fault is Fault.FREEZE} == {()}


def test_a_node_with_all_roles_has_all_faults_once_and_the_only_worker_of_a_service_none(
    environment: Environment,
) -> None:
    found = plan(write_intent(environment, THREE))
    assert faults(found) == {"n1": ["kill web", "stop"], "n2": ["kill web", "stop", "cut", "freeze"]}
    assert found.left_out == ("kill n1 (api), cut n1, freeze n1: api runs on it alone",)
    assert any("no floating IP" in warning for warning in found.warnings)
    n2 = {step.fault: step.units for step in found.steps if step.node == "n2"}
    assert n2[Fault.FREEZE] == ("nexus-service-web.service", "caddy.service")


def test_the_machine_that_this_runs_on_is_not_cut_off_and_the_only_load_balancer_stays(
    environment: Environment, intent: Intent
) -> None:
    found = plan(intent, sandbox=True, here="192.0.2.10")
    assert "mgr1" not in faults(found)
    assert "cut mgr1, power-off mgr1: nexus-ops itself runs on it" in found.left_out
    alone = write_intent(environment, INTENT.replace("  lb2: {address: 192.0.2.22, roles: [lb]}\n", ""))
    assert "lb1" not in faults(plan(alone))
    assert plan(alone).left_out == ("stop lb1, cut lb1, freeze lb1: it is the only load balancer",)


def test_options_choose(intent: Intent) -> None:
    found = plan(intent, faults=(Fault.CUT, Fault.KILL), nodes=("w2", "lb1"))
    assert faults(found) == {"lb1": ["cut"], "w2": ["kill web", "cut"]}
    assert found.seconds > 3 * 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": ("w9",)}, "--node 'w9' is no node of nexus.yml; there are: mgr1"),
        ({"services": ("wbe",)}, "--service 'wbe' is no service of nexus.yml; did you mean 'web'?"),
        ({"rate": 0}, "--rate 0 for 1 services is out of bounds; write 1 to 200"),
        ({"hold": 0.5}, "--hold is 0.5 s; write 2s to 5m"),
        ({"path": "healthz"}, "--path 'healthz' is no path"),
        ({"path": "/a b"}, "--path '/a b' is no path"),
        ({"faults": (Fault.POWER_OFF,)}, "no fault is left: power-off: it is for a sandbox"),
        ({"faults": (Fault.KILL,), "nodes": ("lb1",)}, "these nodes have none of these faults"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(intent: Intent, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(intent, **options)
    assert caught.value.lines()[0].startswith(message)


def test_without_services_there_is_nothing_to_measure(intent: Intent) -> None:
    with pytest.raises(UsageError, match="no service"):
        plan(dataclasses.replace(intent, services={}))


def test_the_objective_of_nexus_yml_is_what_counts(environment: Environment) -> None:
    text = INTENT.replace("ha:\n", "ha:\n  objective: {outage: 500ms, failed: 0.5%}\n")
    goal = plan(write_intent(environment, text)).goal
    assert (goal.outage, goal.failed, goal.recovered) == (0.5, 0.005, 60.0)


def test_without_a_terminal_it_shows_the_plan_and_wants_yes(
    environment: Environment, intent: Intent, call: Callable[..., Called]
) -> None:
    refused = call("drill")
    assert refused.code == 3, "no host key is pinned yet"
    environment.known_hosts.write_text(
        "".join(
            f"{f'[{node.address}]:{node.ssh.port}' if node.ssh.port != 22 else node.address} ssh-ed25519 "
            "AAAAC3NzaC1lZDI1NTE5AAAAIJ8q3n5k1v0l6bS0p1kZJm0fXq8m6H2p1n0w3v7Rk0aB\n"
            for node in intent.nodes.values()
        )
    )
    refused = call("drill", "--node", "w1")
    assert (refused.code, "kill web, cut, freeze" in refused.out) == (2, True), refused
    assert "there is no terminal to ask on; read the above, then add --yes" in refused.err
    assert not environment.runs.exists(), "nothing was done"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--fault", "explode"), "'explode' is not one of"),
        (("--rate", "5000"), "1<=x<=200"),
        (("--hold", "soon"), "--hold 'soon' is no duration"),
    ],
)
def test_wrong_options_are_one_line_and_exit_2(
    intent: Intent, call: Callable[..., Called], arguments: tuple[str, ...], words: str
) -> None:
    result = call("drill", *arguments)
    assert (result.code, words in result.err) == (2, True), result.err
