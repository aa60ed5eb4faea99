"""`nexus-ops deploy` and `nexus-ops rollback`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass, Check, Limit, LockWait, Yes
from nexus_ops.cli.running import Order, change
from nexus_ops.errors import ExitCode, UsageError
from nexus_ops.intent.service_checks import RESERVED_NAME as MONITORING

if TYPE_CHECKING:
    from collections.abc import Mapping

Batch = Annotated[int, typer.Option(min=1, help="How many workers are switched at once.")]
Observe = Annotated[str, typer.Option(help="How long all workers are watched after the last one: 90s, 5m.")]
SkipUnreachable = Annotated[
    bool, typer.Option("--skip-unreachable", help="Leave out nodes that do not answer; they catch up on a later run.")
]


def deploy(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="A service of nexus.yml, or monitoring.")],
    nodes: Annotated[
        str | None, typer.Option(help="Run it on these workers (w1,w2), and write so into nexus.yml.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Run it on so many workers, and write so into nexus.yml.")
    ] = None,
    ref: Annotated[
        str | None, typer.Option(help="Deploy this branch, tag or commit, and write so into nexus.yml.")
    ] = None,
    batch: Batch = 1,
    observe: Observe = "0s",
    skip_unreachable: SkipUnreachable = False,
    check: Check = False,
    lock_wait: LockWait = "0s",  # noqa: ARG001  its callback keeps it
    limit: Limit = None,
    yes: Yes = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Roll a service out: each worker is drained, switched, seen healthy and given requests again, one after the other.

    If one fails, all of them go back to what they ran. `deploy monitoring` is the same as `monitor enable`.
    """
    application: Application = context.obj
    application.json = as_json
    command = f"deploy {service}"
    if service == MONITORING:
        from nexus_ops.cli.monitor import enable_monitoring

        return enable_monitoring(application, command, check=check, limit=limit, yes=yes)
    if limit:
        raise UsageError("--limit is for deploy monitoring", next_step=f"choose the workers of {service} with --nodes")
    from nexus_ops.durations import seconds_of
    from nexus_ops.intent.service_edit import edit_service, edited_intent
    from nexus_ops.rollout import deploy_variables, find_service

    environment = application.environment
    find_service(application.intent, service)
    chosen = nodes.split(",") if nodes is not None else None
    edited = edit_service(environment, service, nodes=chosen, replicas=replicas, ref=ref)
    with edited_intent(environment, edited) as keep:
        application.__dict__.pop("intent", None)
        found = find_service(application.intent, service)
        variables = deploy_variables(found, batch=batch, observe=seconds_of(observe, "--observe"))
        code = change(
            application,
            Order("deploy", command, variables=variables, skipped=_silent(application, skip=skip_unreachable)),
            question=f"Deploy {service} to {', '.join(found.nodes)}?",
            check=check,
            yes=yes,
        )
        if code in {ExitCode.DONE, ExitCode.UNREACHABLE} and not check:
            keep()
    return code


def rollback(
    context: typer.Context,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="A service of nexus.yml.")],
    release: Annotated[
        str | None,
        typer.Argument(metavar="[RELEASE]", help="The release, or its beginning; default: the last good one."),
    ] = None,
    batch: Batch = 1,
    observe: Observe = "0s",
    skip_unreachable: SkipUnreachable = False,
    check: Check = False,
    lock_wait: LockWait = "0s",  # noqa: ARG001  its callback keeps it
    yes: Yes = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Go back to an earlier release, drained and health-gated as a deploy is.

    What is replaced is marked: `apply` leaves it alone, until `deploy` is asked for or the source changes.
    """
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.asking import ask_nodes
    from nexus_ops.durations import seconds_of
    from nexus_ops.rollout import earlier_release, find_service, rollback_variables
    from nexus_ops.ui.monitoring import show_waiting

    environment, intent = application.environment, application.intent
    found = find_service(intent, service)
    seconds = seconds_of(observe, "--observe")
    with show_waiting(f"asking {len(found.nodes)} workers"):
        replies = ask_nodes(environment, intent, "status", greeted=True)
    reports = {
        node: replies.reports[node]["services"][service]
        for node in found.nodes
        if service in (replies.reports.get(node, {}).get("services") or {})
    }
    chosen = earlier_release(found, reports, release)
    return change(
        application,
        Order(
            "deploy",
            f"rollback {service} {chosen}",
            variables=rollback_variables(found, chosen, batch=batch, observe=seconds),
            skipped=dict(replies.silent) if skip_unreachable else {},
        ),
        question=f"Go back to release {chosen} of {service} on {', '.join(found.nodes)}?",
        check=check,
        yes=yes,
    )


def _silent(application: Application, *, skip: bool) -> Mapping[str, str]:
    """Return the nodes that do not answer, with the reason, when those are to be left out."""
    if not skip:
        return {}
    from nexus_ops.asking import ask_nodes

    return dict(ask_nodes(application.environment, application.intent, "status", greeted=True).silent)
