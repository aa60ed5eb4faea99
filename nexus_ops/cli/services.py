"""`nexus-ops services`."""

from __future__ import annotations

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass
from nexus_ops.errors import ExitCode


def services(
    context: typer.Context,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Show which release runs on which worker, since when, by whom, whether it is healthy and as nexus.yml says.

    Exit 0 when all are, 1 when one is not, 3 when no worker answers.
    """
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.services import ask_services
    from nexus_ops.ui.monitoring import show_waiting
    from nexus_ops.ui.services import show_services

    environment, intent = application.environment, application.intent
    if not intent.services:
        application.say(f"{environment.intent} names no service yet")
        if as_json:
            application.answer({"ok": True, "services": {}})
        return ExitCode.DONE
    with show_waiting("asking the workers"):
        found = ask_services(environment, intent)
    if as_json:
        application.answer(found.document())
    else:
        show_services(environment, found)
    return found.exit_code
