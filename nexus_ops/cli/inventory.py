"""`nexus-ops inventory`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson
from nexus_ops.errors import ExitCode


def inventory(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when hosts.yml is stale.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write hosts.yml, the Ansible inventory, from nexus.yml."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.inventory import is_stale, refresh_inventory
    from nexus_ops.secrets import ensure_secrets

    environment, intent = application.environment, application.intent
    stale = is_stale(environment, intent)
    if not check:
        ensure_secrets(environment)
        refresh_inventory(environment, intent)
    if as_json:
        application.answer({"ok": not (check and stale), "stale": stale, "path": str(environment.hosts)})
    elif check and stale:
        application.say(f"{environment.hosts} is stale; run: nexus-ops --env {environment.name} inventory")
    else:
        application.say(f"{environment.hosts} {'written' if stale else 'is up to date'}")
    return ExitCode.FAILED if check and stale else ExitCode.DONE
