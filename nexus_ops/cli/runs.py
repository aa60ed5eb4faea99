"""`nexus-ops runs list` and `runs show`."""

from __future__ import annotations

from typing import Annotated

import typer

from nexus_ops.cli.app import Application
from nexus_ops.cli.options import AsJson

runs = typer.Typer(name="runs", help="What was run, by whom, with what result.", no_args_is_help=True)


@runs.command("list")
def list_runs(context: typer.Context, as_json: AsJson = False) -> None:
    """List the runs of the environment, the newest first."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.runs import list_records

    records = list_records(application.environment)
    if as_json:
        application.answer({"runs": records})
        return
    if not records:
        application.say("no run yet")
        return
    from nexus_ops.ui.runs import show_list

    show_list(records)


@runs.command("show")
def show_run(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="The run's id, its beginning, or `last`.")] = "last",
    as_json: AsJson = False,
) -> None:
    """Show one run: what it did on which node, and its log."""
    application: Application = context.obj
    application.json = as_json
    from nexus_ops.runs import find_record

    record, log = find_record(application.environment, run)
    if as_json:
        application.answer({**record, "log": log.splitlines()})
        return
    from nexus_ops.ui.runs import show_record

    show_record(record, log)
