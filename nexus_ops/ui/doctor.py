"""What the doctor found, as a person sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from nexus_ops.doctor import Diagnosis, Severity
from nexus_ops.ui.tables import make_console, make_table

if TYPE_CHECKING:
    from collections.abc import Sequence

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow"}


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Print a table of the findings, and one line that says whether a run could succeed."""
    console = make_console()
    rows: list[Sequence[object]] = []
    for name, finding in diagnosis.all:
        severity = Text(finding.severity.value, style=STYLES[finding.severity])
        rows.append([Text(name or "cluster", style="bold"), severity, finding.what, finding.remedy])
    if rows:
        console.print(make_table(["node", "", "what", "what to do"], rows))
    counts = [
        f"{number} {severity.value}{'' if number == 1 else 's'}"
        for severity in Severity
        if (number := sum(finding.severity is severity for _, finding in diagnosis.all))
    ]
    well = diagnosis.exit_code == 0
    found = ", ".join(counts) or "nothing stands in the way of a run"
    console.print(Text(f"{len(diagnosis.nodes)} nodes: {found}", style="bold green" if well else "bold red"))
