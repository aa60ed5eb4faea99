"""`nexus-ops monitor status`."""

from __future__ import annotations

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass
from nexus_ops.errors import ExitCode


def status(
    context: typer.Context,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Show for each node whether its values arrive: live, stale or gone, on which parents, and why not.

    Exit 0 when every node is live on every parent, 1 when one is not, 3 when no parent could be reached.
    """
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.monitoring import ask_monitoring, require_monitoring

    environment, intent = application.environment, application.intent
    require_monitoring(environment, intent)
    from nexus_ops.ui.monitoring import show_status, show_waiting

    with show_waiting(f"asking the parents about {len(intent.nodes)} nodes"):
        found = ask_monitoring(environment, intent)
    if as_json:
        application.answer(found.document())
    else:
        show_status(application, found, environment.name)
    if found.exit_code is ExitCode.UNREACHABLE:
        application.complain("error: no parent could be reached; see the reasons above")
    return found.exit_code
