"""A drill as a person sees it: what will be done, what goes on, what it cost."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from nexus_ops.drill.measure import Row
from nexus_ops.drill.report import COLUMNS, bottleneck, cells, headline
from nexus_ops.errors import ExitCode
from nexus_ops.ui.tables import make_console, make_table

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_ops.cli.app import Application
    from nexus_ops.drill.plan import Plan
    from nexus_ops.drill.run import Drill, Watcher


def show_plan(application: Application, plan: Plan, environment: str) -> None:
    """Say what will happen to which node, for how long, and what is left out."""
    console = make_console(sys.stderr if application.json else sys.stdout)
    faults: dict[str, list[str]] = {}
    for step in plan.steps:
        faults.setdefault(step.node, []).append(f"{step.fault} {step.killed}".strip())
    console.print(
        make_table(["node", "faults, one at a time"], [(node, ", ".join(what)) for node, what in faults.items()])
    )
    options = plan.options
    names = ", ".join(service.name for service in plan.services)
    console.print(
        Text(
            f"{len(plan.steps)} faults of {options.hold:g} s on {environment}, under {options.rate} GETs a second each "
            f"to {names}: about {max(1, round(plan.seconds / 60))} min. Every fault ends by itself."
        )
    )
    for reason in plan.left_out:
        console.print(Text(f"left out: {reason}", style="yellow"))
    for warning in plan.warnings:
        application.complain(f"warning: {warning}")


def show_drill(application: Application, drill: Drill, path: Path, run: str) -> None:
    """Print the table, what was missed, and where the report is."""
    console = make_console(sys.stderr if application.json else sys.stdout)
    if drill.rows:
        console.print(make_table(COLUMNS, [_styled(row) for row in drill.rows]))
    good = drill.exit_code is ExitCode.DONE
    text = f"{headline(drill)}, {drill.seconds:.0f} s (run {run})"
    console.print(Text(text, style="bold green" if good else "bold red"))
    warnings = bottleneck(drill)
    for warning in warnings:
        application.complain(f"warning: {warning}")
    for problem in drill.problems:
        application.complain(f"error: {problem}")
    console.print(Text(f"report: {path}"), soft_wrap=True)


def summary(row: Row) -> str:
    """Return a row as one line."""
    recovered = "not whole in time" if row.recovered is None else f"whole after {row.recovered:.1f} s"
    failed = f"{row.failed} of {row.sent} failed"
    state = "" if row.ok else f"; objective missed: {', '.join(row.missed)}"
    return f"{row.step.title}, {row.service}: {failed}, outage {row.outage_ms:.0f} ms, {recovered}{state}"


def _styled(row: Row) -> list[str | Text]:
    *most, last = cells(row)
    return [*most, Text(last, style="green" if row.ok else "bold red")]


class _Lines:
    """Writes a line for each thing that happens, to `log` and, if there is one, to `stream`."""

    def __init__(self, stream: TextIO | None, log: TextIO) -> None:
        self._stream, self._log = stream, log
        self._started = time.monotonic()

    def say(self, text: str, *, count: str = "") -> None:
        self._write(f"{count} {text}".strip())

    def show(self, rows: list[Row]) -> None:
        for row in rows:
            self._write(f"  {summary(row)}")

    def tick(self) -> None:
        pass

    def _write(self, text: str) -> None:
        line = f"{time.monotonic() - self._started:7.1f}s  {text}\n"
        self._log.write(line)
        if self._stream is not None:
            self._stream.write(line)
            self._stream.flush()


class _Screen(_Lines):
    """One line that is drawn again in place; what a fault cost scrolls by above it."""

    def __init__(self, live: Live, log: TextIO) -> None:
        super().__init__(None, log)
        self._live, self._text, self._count = live, "", ""
        self._since = self._drawn = 0.0
        self._spinner = Spinner("dots")

    def say(self, text: str, *, count: str = "") -> None:
        super().say(text, count=count)
        self._text, self._count, self._since = text, count or self._count, time.monotonic()
        self.tick()

    def show(self, rows: list[Row]) -> None:
        super().show(rows)
        for row in rows:
            self._live.console.print(Text(f"{'✓' if row.ok else '✗'} {summary(row)}", style="" if row.ok else "red"))

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._drawn > 0.12:
            self._drawn = now
            clock = f"{now - self._since:.0f} s"
            self._spinner.update(text=Text.assemble((f"{self._count} ", "bold"), self._text, (f"  {clock}", "dim")))
            self._live.update(self._spinner, refresh=True)


@contextlib.contextmanager
def show_course(stream: TextIO, log: TextIO) -> Iterator[Watcher]:
    """Yield what shows the course of a drill: live on a terminal, line by line elsewhere."""
    if not stream.isatty():
        yield _Lines(stream, log)
        return
    with Live(console=make_console(stream), auto_refresh=False, transient=True) as live:
        yield _Screen(live, log)
