"""`nexus-ops status`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass
from nexus_ops.errors import ExitCode, UsageError


def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every few seconds, until Ctrl-C.")] = False,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Show nodes, load balancers, floating IP, services, streaming and the last run on one screen.

    Exit 0 when all is as nexus.yml says, 1 when something is not, 3 when no node answers.
    """
    application: Application = context.obj
    application.json = as_json
    if watch and as_json:
        raise UsageError("--watch and --json do not go together", next_step="leave one of them out")
    from nexus_ops.status import ask_status
    from nexus_ops.ui.status import show_status, watch_status

    environment, intent = application.environment, application.intent
    if watch:
        return watch_status(environment, intent)
    from nexus_ops.runs import last_record
    from nexus_ops.ui.monitoring import show_waiting

    with show_waiting(f"asking {len(intent.nodes)} nodes"):
        found = ask_status(environment, intent)
    if as_json:
        application.answer(found.document(intent, last_record(environment)))
    else:
        show_status(environment, intent, found)
    return found.exit_code
