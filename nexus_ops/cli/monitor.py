"""`nexus-ops monitor`: the monitoring of the nodes, on and off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nexus_ops.cli import monitor_status, monitor_test_alert
from nexus_ops.cli.options import AsJson, AskBecomePass, Check, Limit, LockWait, Yes
from nexus_ops.cli.running import Order, change
from nexus_ops.errors import ExitCode

if TYPE_CHECKING:
    from nexus_ops.cli.app import Application

monitor = typer.Typer(
    name="monitor", help="Watch the nodes: Netdata on each of them, kept by the managers.", no_args_is_help=True
)

monitor.command()(monitor_status.status)
monitor.command("test-alert")(monitor_test_alert.send)


@monitor.command()
def enable(
    context: typer.Context,
    check: Check = False,
    limit: Limit = None,
    lock_wait: LockWait = "0s",  # noqa: ARG001  its callback keeps it
    yes: Yes = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> int:
    """Set up parents, children and the dashboard, and write monitoring into nexus.yml where it is not."""
    application: Application = context.obj
    application.json = as_json
    return enable_monitoring(application, "monitor enable", check=check, limit=limit, yes=yes)


@monitor.command()
def disable(
    context: typer.Context,
    purge: Annotated[bool, typer.Option("--purge", help="Also remove what was recorded.")] = False,
    check: Check = False,
    limit: Limit = None,
    lock_wait: LockWait = "0s",  # noqa: ARG001  its callback keeps it
    yes: Yes = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> int:
    """Take monitoring off all nodes, and write so into nexus.yml. What was recorded stays, unless --purge."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.switch import switch_monitoring

    environment = application.environment
    question = f"Remove monitoring from {environment.name}{' with all that was recorded' if purge else ''}?"
    code = change(
        application,
        Order("monitoring_removed", "monitor disable", limit, {"netdata_node_purge": True} if purge else {}),
        question=question,
        foreword=_foreword(application, enabled=False),
        check=check,
        yes=yes,
        prepare=lambda: switch_monitoring(environment, enabled=False),
    )
    if code is ExitCode.DONE and not check:
        kept = "what was recorded is gone too" if purge else "what was recorded is kept; --purge removes it"
        application.say(f"monitoring is off; {kept}")
    return code


def _foreword(application: Application, *, enabled: bool) -> str:
    """Return what happens to nexus.yml, empty when it says so already."""
    if application.intent.monitoring.enabled == enabled:
        return ""
    return f"{application.environment.intent} will say, below monitoring: enabled: {'true' if enabled else 'false'}"


def enabling_order(application: Application, command: str, limit: str | None) -> Order:
    """Return what to run so that the nodes are monitored. Raises IntentError when they cannot be."""
    from nexus_ops.switch import require_watchable

    require_watchable(application.environment)
    return Order("monitoring", command, limit)


def enable_monitoring(application: Application, command: str, *, check: bool, limit: str | None, yes: bool) -> ExitCode:
    """Set monitoring up: what `monitor enable`, `apply monitoring` and `deploy monitoring` do."""
    from nexus_ops.switch import switch_monitoring

    environment = application.environment
    order = enabling_order(application, command, limit)
    code = change(
        application,
        order,
        question=f"Apply monitoring to {environment.name}?",
        foreword=_foreword(application, enabled=True),
        check=check,
        yes=yes,
        prepare=lambda: switch_monitoring(environment, enabled=True),
    )
    if code is ExitCode.DONE and not check:
        prefix = f"nexus-ops --env {environment.name}"
        application.say(f"next: {prefix} monitor status    says whether every node's values arrive")
        application.say(f"      {prefix} dashboard         says where to look at them")
    return code
