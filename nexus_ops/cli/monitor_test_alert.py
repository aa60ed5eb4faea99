"""`nexus-ops monitor test-alert`."""

from __future__ import annotations

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, AskBecomePass
from nexus_ops.errors import ExitCode


def send(
    context: typer.Context,
    ask_become_pass: AskBecomePass = False,  # noqa: ARG001  its callback keeps it
    as_json: AsJson = False,
) -> ExitCode:
    """Have each parent send a test alert to the webhook, and say whether it was taken.

    Exit 0 when the webhook took all of them, 1 when it did not, 3 when no parent could be reached.
    """
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.alerts import require_webhook, send_test_alerts
    from nexus_ops.monitoring import require_monitoring
    from nexus_ops.ui.monitoring import show_waiting

    environment, intent = application.environment, application.intent
    require_monitoring(environment, intent)
    require_webhook(environment, intent)
    with show_waiting("sending a test alert from each parent"):
        found = send_test_alerts(environment, intent)
    for name, delivery in found.parents.items():
        if delivery.reason:
            application.complain(f"error: the test alert of {name} did not arrive: {delivery.reason}")
        else:
            application.say(f"the webhook took the test alert of {name}")
    if found.exit_code is not ExitCode.DONE:
        application.complain(
            "check the webhook in nexus.yml and the way to it from the managers; after a change run: "
            f"nexus-ops --env {environment.name} monitor enable"
        )
    if as_json:
        application.answer(found.document())
    return found.exit_code
