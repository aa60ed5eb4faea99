"""`nexus-ops plan` and `nexus-ops apply`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass, Check, Limit, LockWait, Yes
from nexus_ops.cli.running import Order, change, finish, run
from nexus_ops.errors import ExitCode


class Target(StrEnum):
    """What can be planned and applied."""

    HA = "ha"
    MONITORING = "monitoring"
    ALL = "all"


def plan(
    context: typer.Context,
    target: Annotated[Target, typer.Argument(help="What to plan.")] = Target.ALL,
    limit: Limit = None,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> int:
    """Show what apply would change, per node, without changing anything. Exit 4 when changes are pending."""
    application: Application = context.obj
    application.json = as_json
    command = f"plan {target.value}"
    order = Order(target.value, command, limit)
    if target is Target.MONITORING:
        from nexus_ops.cli.monitor import enabling_order

        order = enabling_order(application, command, limit)
    from nexus_ops.plan import pending_changes, plan_document

    result = run(application, order, application.intent, check=True)
    if result.exit_code is not ExitCode.DONE:
        return finish(application, result)
    changes = pending_changes(result)
    if as_json:
        application.answer(plan_document(changes))
    else:
        from nexus_ops.ui.changes import show_changes

        show_changes(application, changes)
    return ExitCode.CHANGES_PENDING if any(changes.values()) else ExitCode.DONE


def apply(
    context: typer.Context,
    target: Annotated[Target, typer.Argument(help="What to apply.")],
    check: Check = False,
    limit: Limit = None,
    lock_wait: LockWait = "0s",  # noqa: ARG001  its callback keeps it
    yes: Yes = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> int:
    """Make the machines what the intent says. `apply monitoring` is the same as `monitor enable`."""
    application: Application = context.obj
    application.json = as_json
    command = f"apply {target.value}"
    if target is Target.MONITORING:
        from nexus_ops.cli.monitor import enable_monitoring

        return enable_monitoring(application, command, check=check, limit=limit, yes=yes)
    question = f"Apply {target.value} to {application.environment.name}?"
    return change(application, Order(target.value, command, limit), question=question, check=check, yes=yes)
