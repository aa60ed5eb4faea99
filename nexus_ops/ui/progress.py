"""Progress of a run: a live view of the nodes on a terminal, plain lines elsewhere and in the run's log."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nexus_ops.events import Event, Kind

STYLES = {Kind.CHANGED: "yellow", Kind.FAILED: "bold red", Kind.UNREACHABLE: "bold magenta", Kind.IGNORED: "dim red"}
BUSY_NODES_SHOWN = 15
"""A live view longer than the screen flickers; beyond this many nodes only those at work are shown."""


class Progress(Protocol):
    """Something that shows events as they come."""

    def handle(self, event: Event) -> None:
        """Take one event."""

    def tick(self) -> None:
        """Show that time passes."""


def plain_line(event: Event, seconds: float, *, verbose: bool = False) -> str:
    """Return the line for `event`, empty for those that a person does not need to see."""
    clock = f"{seconds:7.1f}s"
    match event.kind:
        case Kind.TASK:
            return f"{clock}  {event.task}"
        case Kind.CHANGED | Kind.FAILED | Kind.UNREACHABLE | Kind.IGNORED:
            detail = f": {event.message}" if event.message else ""
            return f"{clock}    {event.host}: {event.kind.value}{detail or f' ({event.task})'}"
        case Kind.OK if verbose:
            return f"{clock}    {event.host}: ok"
        case Kind.OUTPUT if event.message:
            return f"{clock}  {event.message}"
    return ""


@dataclass
class PlainProgress:
    """Writes one line a step to `stream` and to `log`."""

    stream: TextIO | None
    log: TextIO
    verbosity: int = 0
    _started: float = field(default_factory=time.monotonic)

    def handle(self, event: Event) -> None:
        """Write the event's line, or with high verbosity what Ansible itself printed."""
        line = plain_line(event, time.monotonic() - self._started, verbose=self.verbosity > 0)
        if line:
            self.log.write(line + "\n")
        if self.verbosity > 1:
            line = event.stdout
        if line and self.stream is not None:
            self.stream.write(line + "\n")
            self.stream.flush()

    def tick(self) -> None:
        """Do nothing: a log needs no clock."""


@dataclass
class _NodeState:
    task: str = "waits"
    since: float = 0.0
    busy: bool = False
    changed: int = 0
    problem: str = ""


class LiveProgress:
    """A table of the nodes that is drawn again in place; what changed or failed scrolls by above it."""

    def __init__(self, console: Console, live: Live, title: str, nodes: list[str], log: PlainProgress) -> None:
        """Show `nodes` under `title` in `live`; every event also goes to `log`."""
        self._console, self._live, self._title, self._log = console, live, title, log
        self._started = time.monotonic()
        self._drawn = 0.0
        self._step = ""
        self._nodes = {name: _NodeState() for name in nodes}
        self._spinner = Spinner("dots")

    def handle(self, event: Event) -> None:
        """Take one event into the table, and print it above when it matters for good."""
        self._log.handle(event)
        now = time.monotonic()
        if event.kind is Kind.TASK:
            self._step = event.task
        if event.host:
            state = self._nodes.setdefault(event.host, _NodeState())
            if event.kind is Kind.STARTED:
                state.task, state.since, state.busy = event.task, now, True
            else:
                state.busy = False
            if event.kind is Kind.CHANGED:
                state.changed += 1
            if event.kind in {Kind.FAILED, Kind.UNREACHABLE}:
                state.problem = event.kind.value
        line = plain_line(event, now - self._started)
        if line and event.kind in STYLES:
            self._console.print(Text(line, style=STYLES[event.kind]))

    def tick(self) -> None:
        """Draw the table again, at most eight times a second."""
        if time.monotonic() - self._drawn > 0.12:
            self._drawn = time.monotonic()
            self._live.update(self.render(), refresh=True)

    def render(self) -> RenderableType:
        """Return the view as it is now."""
        now = time.monotonic()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False, expand=False)
        shown = self._nodes
        if len(shown) > BUSY_NODES_SHOWN:
            shown = {name: state for name, state in shown.items() if state.busy or state.problem}
        for name, state in list(shown.items())[:BUSY_NODES_SHOWN]:
            mark: RenderableType = self._spinner if state.busy else Text("·", style="dim")
            if state.problem:
                mark = Text("✗", style="red")
            seconds = f"{now - state.since:.0f}s" if state.busy else ""
            changed = f"{state.changed} changed" if state.changed else ""
            step = state.problem or state.task
            table.add_row(
                mark,
                Text(name, style="bold"),
                Text(step, style="" if state.busy else "dim"),
                Text(seconds, style="dim"),
                Text(changed, style="yellow"),
            )
        minutes, seconds_left = divmod(int(now - self._started), 60)
        head = Text.assemble(
            (self._title, "bold"), ("  ", ""), (f"{minutes}:{seconds_left:02d}", "cyan"), f"  {self._step}"
        )
        return Group(head, table)


@contextlib.contextmanager
def show_progress(stream: TextIO, log: TextIO, title: str, nodes: list[str], verbosity: int) -> Iterator[Progress]:
    """Yield the progress that fits `stream`: live on a terminal, plain lines otherwise."""
    from nexus_ops.ui.tables import make_console

    if not stream.isatty() or verbosity > 1:
        yield PlainProgress(stream, log, verbosity)
        return
    console = make_console(stream)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield LiveProgress(console, live, title, nodes, PlainProgress(None, log))
