"""`nexus-ops plan` and `nexus-ops apply`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson
from nexus_ops.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from nexus_ops.operation import Result

Limit = Annotated[str | None, typer.Option(help="Only these nodes or groups (Ansible's pattern; ! leaves out).")]


class Target(StrEnum):
    """What can be planned and applied."""

    HA = "ha"
    MONITORING = "monitoring"
    ALL = "all"


def plan(
    context: typer.Context,
    target: Annotated[Target, typer.Argument(help="What to plan.")] = Target.ALL,
    limit: Limit = None,
    as_json: AsJson = False,
) -> int:
    """Show what apply would change, per node, without changing anything. Exit 4 when changes are pending."""
    application = _start(context, as_json, target)
    from nexus_ops.plan import pending_changes, plan_document

    result = _run(application, target, f"plan {target.value}", check=True, limit=limit)
    changes = pending_changes(result)
    if result.exit_code is not ExitCode.DONE:
        return _finish(application, result)
    if as_json:
        application.answer(plan_document(changes))
    else:
        from nexus_ops.ui.changes import show_changes

        show_changes(application, changes)
    return ExitCode.CHANGES_PENDING if any(changes.values()) else ExitCode.DONE


def apply(
    context: typer.Context,
    target: Annotated[Target, typer.Argument(help="What to apply.")],
    check: Annotated[bool, typer.Option("--check", help="Run in check mode: change nothing.")] = False,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> int:
    """Make the machines what the intent says."""
    application = _start(context, as_json, target)
    if not check and not yes:
        application.require_terminal()
        from nexus_ops.plan import pending_changes
        from nexus_ops.ui.changes import show_changes

        planned = _run(application, target, f"plan {target.value}", check=True, limit=limit)
        if planned.exit_code is not ExitCode.DONE:
            return _finish(application, planned)
        show_changes(application, pending_changes(planned))
        if not application.confirm(f"Apply {target.value} to {application.environment.name}?", yes=False):
            application.complain("nothing was changed")
            return ExitCode.FAILED
    command = f"apply {target.value}{' --check' if check else ''}"
    return _finish(application, _run(application, target, command, check=check, limit=limit))


def _start(context: typer.Context, as_json: bool, target: Target) -> Application:
    application: Application = context.obj
    application.json = as_json
    if target is Target.MONITORING:
        raise UsageError("monitoring comes with a later version", next_step="use ha or all")
    return application


def _run(application: Application, target: Target, command: str, *, check: bool, limit: str | None) -> Result:
    from nexus_ops.operation import run_playbook

    return run_playbook(
        application.environment,
        application.intent,
        target.value,
        command=command,
        stream=sys.stderr if application.json else sys.stdout,
        check=check,
        limit=limit,
        verbosity=application.verbosity,
    )


def _finish(application: Application, result: Result) -> ExitCode:
    from nexus_ops.ui.results import show_result

    show_result(application, result)
    if application.json:
        application.answer(result.document())
    return result.exit_code
