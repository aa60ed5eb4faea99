"""Pending changes, as a person sees them: diffs in colour, per node."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.text import Text

from nexus_ops.events import Change
from nexus_ops.ui.tables import make_console

if TYPE_CHECKING:
    from nexus_ops.cli.app import Application

DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}
LINES_SHOWN = 40
"""Lines of one diff that are shown without `-v`."""


def show_changes(application: Application, changes: dict[str, list[Change]]) -> None:
    """Print what would change per node, and a line that sums it up."""
    console = make_console(sys.stderr if application.json else sys.stdout)
    for node, found in changes.items():
        if not found:
            continue
        console.print(Text(f"{node}: {len(found)} {'change' if len(found) == 1 else 'changes'}", style="bold"))
        task = None
        for change in found:
            if change.task != task:
                task = change.task
                console.print(Text(f"  {task}", style="yellow"))
            lines = change.text.splitlines()
            shown = lines if application.verbosity else lines[:LINES_SHOWN]
            for line in shown:
                console.print(Text(f"    {line}", style=DIFF_STYLES.get(line[:1], "")))
            if len(lines) > len(shown):
                console.print(Text(f"    … {len(lines) - len(shown)} more lines (-v shows all)", style="dim"))
    total = sum(map(len, changes.values()))
    same = [node for node, found in changes.items() if not found]
    if total:
        console.print(
            Text(f"{total} changes pending on {len(changes) - len(same)} of {len(changes)} nodes", style="bold")
        )
    else:
        console.print(Text(f"no change pending on {len(changes)} nodes", style="bold green"))
