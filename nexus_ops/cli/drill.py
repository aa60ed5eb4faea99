"""`nexus-ops drill`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass, LockWait, Yes
from nexus_ops.drill import MAX_RATE, Fault
from nexus_ops.errors import ExitCode

if TYPE_CHECKING:
    from nexus_ops.drill.plan import Options, Plan


def drill(
    context: typer.Context,
    fault: Annotated[list[Fault] | None, typer.Option(help="Only this fault; repeat for more.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Only this node; repeat for more.")] = None,
    service: Annotated[list[str] | None, typer.Option(help="Only this service; repeat for more.")] = None,
    rate: Annotated[int, typer.Option(min=1, max=MAX_RATE, help="Requests a second to each service.")] = 20,
    hold: Annotated[str, typer.Option(help="How long a fault lasts: 5s, 1m.")] = "10s",
    path: Annotated[str, typer.Option(help="What is asked for; default: the service's health path, else /.")] = "",
    lock_wait: LockWait = "0s",  # noqa: ARG001  its callback keeps it
    yes: Yes = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Break one node after the other under load, and measure what that costs clients, against ha.objective.

    Faults end by themselves. Exit 1 when an objective is missed or the cluster does not become whole again.
    """
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.drill.plan import Options
    from nexus_ops.durations import seconds_of

    options = Options(
        faults=tuple(fault or ()),
        nodes=tuple(node or ()),
        services=tuple(service or ()),
        rate=rate,
        hold=seconds_of(hold, "--hold"),
        path=path,
    )
    from nexus_ops.operation import require_pinned_keys
    from nexus_ops.sandbox.environment import is_sandbox
    from nexus_ops.ui.drill import show_plan

    environment, intent = application.environment, application.intent
    sandbox = is_sandbox(environment)
    plan = _plan(application, options, sandbox=sandbox)
    require_pinned_keys(environment, intent, intent.nodes)
    show_plan(application, plan, environment.name)
    if not application.confirm(f"Do this to {environment.name}?", yes=yes, next_step="read the above, then add --yes"):
        application.complain("nothing was done")
        return ExitCode.FAILED
    return _run(application, plan, sandbox=sandbox)


def _plan(application: Application, options: Options, *, sandbox: bool) -> Plan:
    from nexus_ops.dashboard import is_own_address
    from nexus_ops.drill.plan import make_plan

    if sandbox:
        from nexus_ops.sandbox.controller import check_requirements

        check_requirements()
    return make_plan(application.intent, options, sandbox=sandbox, is_here=is_own_address)


def _run(application: Application, plan: Plan, *, sandbox: bool) -> ExitCode:
    """Do `plan`, keep its record and report, show them, and return the exit code."""
    from nexus_ops.drill.report import NAME, document, render
    from nexus_ops.drill.run import run_drill
    from nexus_ops.files import write_atomically
    from nexus_ops.locking import environment_lock
    from nexus_ops.runs import start_record
    from nexus_ops.ui.drill import show_course, show_drill

    environment, intent = application.environment, application.intent
    record = start_record(environment, "drill", "node_fault", None)
    stream = sys.stderr if application.json else sys.stdout
    try:
        with (
            environment_lock(
                environment,
                intent,
                "drill",
                run=record.identifier,
                wait=application.lock_wait,
                say=application.complain,
            ) as held,
            record.log.open("w", encoding="utf-8", buffering=1) as log,
            show_course(stream, log) as watcher,
        ):
            found = run_drill(environment, intent, plan, watcher, sandbox=sandbox, held=held)
    except BaseException as error:
        record.save(result="failed" if isinstance(error, Exception) else "interrupted", reason=str(error))
        raise
    path = record.folder / NAME
    started = str(record.document["started"]).replace("T", " ")[:16] + " UTC"
    write_atomically(path, render(found, environment.name, intent.cluster, started))
    result = document(found, record.identifier, path)
    record.save(result=found.exit_code.name.lower(), **result)
    show_drill(application, found, path, record.identifier)
    if application.json:
        application.answer(result)
    return found.exit_code
