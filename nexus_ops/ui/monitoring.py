"""The monitoring of the nodes, as a person sees it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.text import Text

from nexus_ops.monitoring import Seen, State, Status, join
from nexus_ops.ui.tables import make_console, make_table

if TYPE_CHECKING:
    from nexus_ops.cli.app import Application

STYLES = {State.LIVE: "green", State.STALE: "yellow", State.GONE: "bold red", State.UNKNOWN: "dim"}


@contextlib.contextmanager
def show_waiting(what: str) -> Iterator[None]:
    """Show on stderr that `what` takes some seconds, where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with make_console(sys.stderr).status(what):
        yield


def show_status(application: Application, status: Status, environment: str) -> None:
    """Print a table of the nodes, what is wrong with parents, and a line that sums it up."""
    console = make_console(sys.stderr if application.json else sys.stdout)
    columns = ["node", "state", "lag", "streams to", *(f"on {parent}" for parent in status.parents), "reason"]
    rows = [
        [
            Text(name, style="bold"),
            _state(node.state),
            _seconds(node.lag_seconds),
            node.streams_to or "",
            *(_seen(node.parents[parent]) for parent in status.parents),
            node.reason,
        ]
        for name, node in status.nodes.items()
    ]
    console.print(make_table(columns, rows))
    for name, parent in status.parents.items():
        if not parent.asked:
            application.complain(f"warning: parent {name}: {parent.reason}")
        if parent.others:
            application.complain(f"warning: parent {name} also has {join(parent.others)}, which nexus.yml does not")
    live = sum(node.complete for node in status.nodes.values())
    asked = [name for name, parent in status.parents.items() if parent.asked]
    where = f" on {join(asked)}" if asked else ""
    whole = status.exit_code == 0
    console.print(
        Text(f"{live} of {len(status.nodes)} nodes are live{where}", style="bold green" if whole else "bold red")
    )
    lost = [name for name, node in status.nodes.items() if node.silent]
    if lost:
        console.print(
            Text(f"Bring {join(lost)} back: {'it joins by itself' if len(lost) == 1 else 'they join by themselves'}.")
        )
    if any(not node.complete and not node.silent for node in status.nodes.values()):
        console.print(Text(f"To put the settings right: nexus-ops --env {environment} monitor enable"))


def _state(state: State) -> Text:
    return Text(state.value, style=STYLES[state])


def _seen(seen: Seen) -> Text:
    lag = f" {_seconds(seen.lag_seconds)}" if seen.lag_seconds is not None else ""
    return Text(f"{seen.state.value}{lag}", style=STYLES[seen.state])


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
