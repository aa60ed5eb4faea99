"""Test alerts: what the parents say of them, and the exit code that comes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nexus_ops.alerts import read_deliveries, require_webhook
from nexus_ops.asking import Replies
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, UsageError
from nexus_ops.intent.model import Intent
from nexus_ops.intent.write import write_intent
from tests.unit.conftest import Called

INTENT = """\
cluster: test
nodes:
  mgr1: {address: 192.0.2.11, roles: [manager]}
  mgr2: {address: 192.0.2.12, roles: [manager]}
  w1: {address: 192.0.2.31, roles: [worker]}
monitoring: {alerts: {webhook: "https://hooks.example.com/token"}}
"""


@pytest.fixture
def cluster(environment: Environment) -> Intent:
    return write_intent(environment, INTENT)


def said(**reasons: str) -> Replies:
    """Return replies of parents, whose alerts did not arrive for these reasons (empty: arrived)."""
    reports = {name: {"test_alert": {"ok": not reason, "reason": reason}} for name, reason in reasons.items()}
    return Replies(reports=reports)


def test_all_have_arrived(cluster: Intent) -> None:
    found = read_deliveries(cluster, said(mgr1="", mgr2=""))
    assert found.exit_code is ExitCode.DONE
    arrived = {"ok": True, "reason": ""}
    assert found.document() == {"ok": True, "parents": {"mgr1": arrived, "mgr2": arrived}}


def test_one_that_did_not_arrive_is_a_failure_with_its_reason(cluster: Intent) -> None:
    found = read_deliveries(cluster, said(mgr1="it answered with HTTP 500", mgr2=""))
    assert found.exit_code is ExitCode.FAILED
    assert found.document()["error"] == {"message": "mgr1: it answered with HTTP 500"}


def test_a_parent_that_is_not_reached_is_a_failure_and_all_of_them_are_unreachable(cluster: Intent) -> None:
    replies = said(mgr2="")
    replies.silent["mgr1"] = "timed out"
    found = read_deliveries(cluster, replies)
    assert found.exit_code is ExitCode.FAILED
    assert found.parents["mgr1"].reason == "unreachable over ssh: timed out"
    assert read_deliveries(cluster, Replies(silent=dict.fromkeys(("mgr1", "mgr2"), "no"))).exit_code is (
        ExitCode.UNREACHABLE
    )


def test_without_a_webhook_it_is_refused(environment: Environment, call: Callable[..., Called]) -> None:
    intent = write_intent(environment, INTENT.partition("monitoring")[0] + "monitoring: {retention_days: 1}\n")
    with pytest.raises(UsageError, match="no webhook"):
        require_webhook(environment, intent)
    called = call("monitor", "test-alert")
    assert called.code == 2
    assert "monitor enable" in called.err
