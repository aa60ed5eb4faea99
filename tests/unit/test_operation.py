"""What is run, for which nodes, and how its end is judged."""

from __future__ import annotations

import pytest

from nexus_ops.content import Content
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, UnreachableError, UsageError
from nexus_ops.events import Event, Kind
from nexus_ops.intent.model import Intent
from nexus_ops.inventory import build_inventory
from nexus_ops.operation import judge, require_pinned_keys, select_nodes
from nexus_ops.runner import Outcome, plan_invocation


def test_invocation(environment: Environment) -> None:
    invocation = plan_invocation(
        Content(environment.folder), "ha", environment.hosts, check=True, limit="!w1", verbosity=2
    )
    assert invocation.arguments == ("--skip-tags", "fresh", "--check", "--diff", "--limit", "!w1")
    assert invocation.playbook == environment.folder / "playbooks" / "ha.yml"
    assert invocation.environment["ANSIBLE_HOST_KEY_CHECKING"] == "True"


@pytest.mark.parametrize(
    ("limit", "nodes"),
    [
        (None, ["mgr1", "lb1", "lb2", "w1", "w2"]),
        ("w1", ["w1"]),
        ("lb", ["lb1", "lb2"]),
        ("lb,w1", ["lb1", "lb2", "w1"]),
        ("!w1", ["mgr1", "lb1", "lb2", "w2"]),
        ("worker:!w1", ["w2"]),
        ("all:&lb", ["lb1", "lb2"]),
        ("&lb", ["lb1", "lb2"]),
        ("!w1,worker", ["w2"]),
        ("w*", ["w1", "w2"]),
    ],
)
def test_limit(environment: Environment, intent: Intent, limit: str | None, nodes: list[str]) -> None:
    assert select_nodes(intent, build_inventory(intent, environment.folder), limit) == nodes


@pytest.mark.parametrize(
    ("limit", "words"),
    [("w9", "no node or group"), ("wroker", "worker"), ("w1:!w1", "leaves no node"), ("w[0:1]", "range")],
)
def test_limit_refused(environment: Environment, intent: Intent, limit: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        select_nodes(intent, build_inventory(intent, environment.folder), limit)
    assert words in refused.value.lines()[0]


def test_unknown_host_key_is_found_before_the_run(environment: Environment, intent: Intent) -> None:
    with pytest.raises(UnreachableError, match="no host key is pinned for lb1, w1") as refused:
        require_pinned_keys(environment, intent, ["lb1", "w1"])
    assert "bootstrap lb1 w1" in refused.value.next_step


def stats(**hosts: int) -> dict[str, dict[str, int]]:
    return {host: {"ok": 1, "changed": count, "failed": 0, "unreachable": 0} for host, count in hosts.items()}


FAILURE = Event(Kind.FAILED, "w1", "Step", "no space")
SILENCE = Event(Kind.UNREACHABLE, "w2", "Facts", "timed out")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome(returned=0), ExitCode.DONE),
        (Outcome(returned=2, failures=[FAILURE]), ExitCode.FAILED),
        (Outcome(returned=4, unreachable=[SILENCE]), ExitCode.UNREACHABLE),
        (Outcome(returned=2, failures=[FAILURE], unreachable=[SILENCE]), ExitCode.FAILED),
        (Outcome(returned=None), ExitCode.FAILED),
        (Outcome(returned=0, interrupted=True), ExitCode.INTERRUPTED),
        (Outcome(returned=1, output=["[ERROR]: no playbook"]), ExitCode.FAILED),
    ],
)
def test_exit_code(outcome: Outcome, code: ExitCode) -> None:
    result = judge("id", outcome, set(), {})
    assert result.exit_code is code
    assert result.document()["ok"] is (code is ExitCode.DONE)
    if code not in {ExitCode.DONE, ExitCode.INTERRUPTED}:
        assert result.document()["error"]["message"]


def test_unreachable_says_how_to_go_on() -> None:
    result = judge("id", Outcome(returned=4, unreachable=[SILENCE], stats=stats(w1=0)), set(), {})
    assert "nothing was changed" in result.problems[0].message
    assert "--limit '!w2'" in result.problems[0].next_step


def test_a_host_that_is_lost_after_it_had_answered_may_have_been_changed() -> None:
    outcome = Outcome(returned=4)
    for event in (Event(Kind.STARTED, "w2", "Facts"), Event(Kind.OK, "w2", "Facts"), SILENCE):
        outcome.take(event)
    result = judge("id", outcome, set(), {})
    assert result.problems[0].message == "timed out"
    assert result.document()["may_have_changed"] == {"w2": "Facts"}


def test_changed_host_key_is_explained() -> None:
    banner = Event(Kind.UNREACHABLE, "w2", "Facts", "@@@@\n@ WARNING @\n@@@@")
    result = judge("id", Outcome(returned=4, unreachable=[banner]), set(), {"w2": "the host key of w2 has changed"})
    assert result.problems[0].message == "the host key of w2 has changed; nothing was changed"
    plain = judge("id", Outcome(returned=4, unreachable=[banner]), set(), {})
    assert plain.problems[0].message == "@@@@ @ WARNING @ @@@@; nothing was changed"


def test_retired_node_that_is_gone_is_no_failure() -> None:
    gone = Event(Kind.IGNORED, "w3", "Facts", "timed out")
    result = judge("id", Outcome(returned=0, ignored=[gone], stats=stats(w1=2)), {"w3", "w4"}, {})
    assert result.exit_code is ExitCode.DONE
    assert result.retired_left == ("w3",)
    assert result.document()["changed"] == 2
