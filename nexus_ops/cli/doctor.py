"""`nexus-ops doctor`."""

from __future__ import annotations

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass
from nexus_ops.errors import ExitCode


def doctor(
    context: typer.Context,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """See whether a run could succeed: ssh, sudo, system, ports, space, clocks, VRRP, domains. Changes nothing.

    Exit 0 when nothing stands in the way, 1 when something does, 3 when that is only that nodes cannot be reached.
    """
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.doctor import examine
    from nexus_ops.ui.monitoring import show_waiting

    environment, intent = application.environment, application.intent
    with show_waiting(f"examining {len(intent.nodes)} nodes"):
        diagnosis = examine(environment, intent)
    if as_json:
        application.answer(diagnosis.document())
    else:
        from nexus_ops.ui.doctor import show_diagnosis

        show_diagnosis(diagnosis)
    return diagnosis.exit_code
