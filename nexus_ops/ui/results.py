"""How a run ended, as a person sees it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from nexus_ops.errors import ExitCode
from nexus_ops.operation import Result
from nexus_ops.runner import Outcome
from nexus_ops.ui.tables import make_console, make_table

if TYPE_CHECKING:
    from nexus_ops.cli.app import Application

HEADLINES = {
    ExitCode.DONE: ("done", "bold green"),
    ExitCode.FAILED: ("failed", "bold red"),
    ExitCode.UNREACHABLE: ("nodes unreachable", "bold magenta"),
    ExitCode.INTERRUPTED: ("interrupted", "bold yellow"),
}


def show_result(application: Application, result: Result) -> None:
    """Print a table of the nodes, one line that sums it up, and every problem with its next step."""
    console = make_console(sys.stderr if application.json else sys.stdout)
    rows = [
        (_mark(columns), node, columns["ok"], columns["changed"], columns["failed"], columns["unreachable"])
        for node, columns in result.outcome.stats.items()
    ]
    if rows:
        console.print(make_table(["", "node", "ok", "changed", "failed", "unreachable"], rows))
    headline, style = HEADLINES[result.exit_code]
    console.print(
        Text(f"{headline}: {_changes(result.outcome)}, {result.outcome.seconds:.1f} s (run {result.run})", style=style)
    )
    for problem in result.problems:
        where = f"{problem.node}: " if problem.node else ""
        task = f" (at: {problem.task})" if problem.task else ""
        application.complain(f"error: {where}{problem.message}{task}; {problem.next_step}")
    for warning in result.warnings:
        application.complain(f"warning: {warning}")
    for node in result.retired_left:
        application.complain(f"warning: {node} left the intent, but could not be cleaned up; every run tries again")


def _changes(outcome: Outcome) -> str:
    """Return how much was changed, and where more may have been."""
    doubtful = [f"{node} (at: {task})" for node, task in outcome.may_have_changed.items()]
    known = f"{outcome.changed} changed" if outcome.changed else "" if doubtful else "nothing changed"
    return ", ".join(filter(None, [known, f"may have changed {', '.join(doubtful)}" if doubtful else ""]))


def _mark(columns: dict[str, int]) -> Text:
    if columns["failed"] or columns["unreachable"]:
        return Text("✗", style="red")
    return Text("✓", style="yellow" if columns["changed"] else "green")
