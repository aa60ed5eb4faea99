"""Test alerts: whether what a parent has to tell arrives at the webhook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nexus_ops.asking import Replies, ask_nodes
from nexus_ops.environment import Environment
from nexus_ops.errors import ExitCode, UsageError
from nexus_ops.intent.model import Intent
from nexus_ops.monitoring import no_answer

PLAYBOOK = "monitoring_test_alert"


@dataclass(frozen=True)
class Delivery:
    """What became of a parent's test alert; `reason` says why it did not arrive. `silent`: ssh did not reach it."""

    reason: str = ""
    silent: bool = False


@dataclass(frozen=True)
class TestAlerts:
    """The test alerts of all parents, by name."""

    __test__ = False  # it is none of pytest's

    parents: dict[str, Delivery]

    @property
    def exit_code(self) -> ExitCode:
        """Return DONE when each alert arrived, UNREACHABLE when no parent was reached, else FAILED."""
        if all(delivery.silent for delivery in self.parents.values()):
            return ExitCode.UNREACHABLE
        arrived = all(not delivery.reason for delivery in self.parents.values())
        return ExitCode.DONE if arrived else ExitCode.FAILED

    def document(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        document: dict[str, Any] = {
            "ok": self.exit_code is ExitCode.DONE,
            "parents": {
                name: {"ok": not delivery.reason, "reason": delivery.reason} for name, delivery in self.parents.items()
            },
        }
        failed = [f"{name}: {delivery.reason}" for name, delivery in self.parents.items() if delivery.reason]
        if failed:
            document["error"] = {"message": "; ".join(failed)}
        return document


def require_webhook(environment: Environment, intent: Intent) -> None:
    """Raise UsageError when the intent names no webhook."""
    if not intent.monitoring.webhook:
        raise UsageError(
            f"{environment.intent} has no webhook that alerts could go to",
            next_step="write 'alerts: {webhook: https://...}' below monitoring, then run: "
            f"nexus-ops --env {environment.name} monitor enable",
        )


def send_test_alerts(environment: Environment, intent: Intent) -> TestAlerts:
    """Have each parent send a test alert, and return what became of them. Raises NexusError."""
    return read_deliveries(intent, ask_nodes(environment, intent, PLAYBOOK))


def read_deliveries(intent: Intent, replies: Replies) -> TestAlerts:
    """Return what became of the alerts by what the parents said. Reads and asks nothing."""
    parents = {}
    for node in intent.parents:
        missing = no_answer(node.name, replies)
        reason = missing or replies.reports[node.name]["test_alert"]["reason"]
        parents[node.name] = Delivery(reason, silent=node.name in replies.silent)
    return TestAlerts(parents)
