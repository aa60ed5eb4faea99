"""`nexus-ops deploy`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson, Check, Limit, Yes
from nexus_ops.errors import UsageError
from nexus_ops.intent.service_checks import RESERVED_NAME as MONITORING


def deploy(
    context: typer.Context,
    what: Annotated[str, typer.Argument(metavar="monitoring", help="What to deploy.")],
    check: Check = False,
    limit: Limit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> int:
    """Deploy monitoring: the same as `monitor enable`. Services are deployed by `apply ha`."""
    application: Application = context.obj
    application.json = as_json
    if what != MONITORING:
        raise UsageError(
            f"deploy {what}: rolling releases of one service come with a later version",
            next_step="run: nexus-ops apply ha, which brings every service to what nexus.yml says",
        )
    from nexus_ops.cli.monitor import enable_monitoring

    return enable_monitoring(application, f"deploy {MONITORING}", check=check, limit=limit, yes=yes)
