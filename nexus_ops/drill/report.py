"""A drill as one HTML file that needs nothing else, and as a JSON document."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nexus_ops import __version__
from nexus_ops.content import find_content
from nexus_ops.drill.measure import LATE, Outcome, Row, percentile
from nexus_ops.errors import ExitCode

if TYPE_CHECKING:
    from nexus_ops.drill.run import Drill

NAME = "report.html"
BUCKET = 0.5
"""Seconds that one point of the chart stands for."""

COLUMNS = ("fault", "node", "service", "sent", "failed", "outage", "p99 before", "p99", "whole after", "objective")


def document(drill: Drill, run: str, path: Path) -> dict[str, Any]:
    """Return what `--json` shows."""
    options, objective = drill.plan.options, drill.plan.goal
    return {
        "ok": drill.exit_code is ExitCode.DONE,
        "faults": [row.document() for row in drill.rows],
        "problems": drill.problems,
        "left_out": list(drill.plan.left_out),
        "warnings": [*drill.plan.warnings, *bottleneck(drill)],
        "objective": {
            "outage_ms": objective.outage * 1000,
            "failed": objective.failed,
            "recovered_s": objective.recovered,
        },
        "rate": options.rate,
        "hold_s": options.hold,
        "late_ms": late_ms(drill),
        "interrupted": drill.interrupted,
        "report": str(path),
        "run": run,
        "seconds": round(drill.seconds, 1),
    }


def late_ms(drill: Drill) -> float:
    """Return how far the load was behind its schedule, in ms: no more than this for 99 of 100 requests."""
    return round(percentile([outcome.began - outcome.due for outcome in drill.outcomes], 99) * 1000, 1)


def bottleneck(drill: Drill) -> list[str]:
    """Return a warning when this program did not keep its own schedule: the times are too long then."""
    late = max([late_ms(drill), *(row.late_ms for row in drill.rows)])
    if late < LATE * 1000:
        return []
    return [f"this machine was up to {late:g} ms late with its requests: it was the bottleneck, and times are too long"]


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table as text, in the order of COLUMNS."""
    fault = f"{row.step.fault} ({row.step.killed})" if row.step.killed else row.step.fault.value
    node = f"{row.step.node} (floating IP)" if row.held_virtual_ip else row.step.node
    return (
        fault,
        node,
        row.service,
        str(row.sent),
        str(row.failed),
        f"{row.outage_ms:.0f} ms",
        f"{row.p99_before_ms:.0f} ms",
        f"{row.p99_ms:.0f} ms",
        "not in time" if row.recovered is None else f"{row.recovered:.1f} s",
        "met" if row.ok else f"missed: {', '.join(row.missed)}",
    )


def series(outcomes: Sequence[Outcome], service: str, begun: float) -> dict[str, list[float | None]]:
    """Return the chart of a service by time in s: the slowest answer (ms) and how many failed, in each BUCKET."""
    mine = [outcome for outcome in outcomes if outcome.service == service]
    if not mine:
        return {"time": [], "slowest": [], "failed": []}
    count = math.floor(max(outcome.due - begun for outcome in mine) / BUCKET) + 1
    slowest: list[float | None] = [None] * count
    failed: list[float | None] = [0] * count
    for outcome in mine:
        place = max(0, math.floor((outcome.due - begun) / BUCKET))
        if outcome.error:
            failed[place] = (failed[place] or 0) + 1
        else:
            slowest[place] = max(slowest[place] or 0.0, round(outcome.latency * 1000, 1))
    return {"time": [place * BUCKET for place in range(count)], "slowest": slowest, "failed": failed}


def render(drill: Drill, environment: str, cluster: str, started: str) -> str:
    """Return the report. Everything that it needs is in it; it asks for nothing from outside."""
    vendor = find_content().roles / "dashboard" / "files" / "vendor" / "uplot"
    charts = [
        {"service": service.name, **series(drill.outcomes, service.name, drill.begun)}
        for service in drill.plan.services
    ]
    bands = [
        {"title": step.title, "from": round(begin - drill.begun, 2), "to": round(end - drill.begun, 2)}
        for step, begin, end in drill.windows
    ]
    parts = {
        "TITLE": html.escape(f"Drill · {cluster}"),
        "HEADLINE": html.escape(headline(drill)),
        "STATE": "good" if drill.exit_code is ExitCode.DONE else "bad",
        "ABOUT": html.escape(about(drill, environment, started)),
        "NOTES": "".join(f"<li>{html.escape(note)}</li>" for note in notes(drill)),
        "HEAD": "".join(f'<th scope="col">{html.escape(column)}</th>' for column in COLUMNS),
        "ROWS": "".join(_row(row) for row in drill.rows),
        "UPLOT_STYLE": (vendor / "uPlot.min.css").read_text(encoding="utf-8"),
        "UPLOT": (vendor / "uPlot.iife.min.js").read_text(encoding="utf-8"),
        "DATA": json.dumps({"charts": charts, "bands": bands, "bucket": BUCKET}).replace("</", "<\\/"),
    }
    text = Path(__file__).with_name("report.html").read_text(encoding="utf-8")
    pieces = text.split("@@")  # every second one is a name
    return "".join(parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def headline(drill: Drill) -> str:
    """Return in one line how it went."""
    faults, missed = len(drill.windows), sum(not row.ok for row in drill.rows)
    done = f"{faults} of {len(drill.plan.steps)} faults"
    if drill.interrupted:
        return f"Interrupted after {done}"
    if missed:
        return f"Objective missed in {missed} of {len(drill.rows)} rows, {done}"
    return f"Objective met in all {len(drill.rows)} rows, {done}" + (", not complete" if drill.problems else "")


def about(drill: Drill, environment: str, started: str) -> str:
    """Return what was measured, how and when."""
    goal, options = drill.plan.goal, drill.plan.options
    return (
        f"{environment}, {started}, nexus-ops {__version__}. {options.rate} GETs a second to each service, a new "
        f"connection each, none repeated; faults of {options.hold:g} s. Objective: outage up to {goal.outage:g} s, up "
        f"to {goal.failed * 100:g} % failed, whole again within {goal.recovered:g} s. This machine was up to "
        f"{late_ms(drill):g} ms behind its schedule (p99)."
    )


def notes(drill: Drill) -> list[str]:
    """Return what else to know: problems first."""
    left_out = [f"left out: {reason}" for reason in drill.plan.left_out]
    return [*drill.problems, *bottleneck(drill), *drill.plan.warnings, *left_out]


def _row(row: Row) -> str:
    errors = "; ".join(f"{count}x {reason}" for reason, count in row.errors.items())
    texts = cells(row)
    body = "".join(
        f'<td data-label="{html.escape(column)}">{html.escape(text)}'
        + (f"<small>{html.escape(errors)}</small>" if column == "failed" and errors else "")
        + "</td>"
        for column, text in zip(COLUMNS, texts, strict=True)
    )
    return f'<tr class="{"good" if row.ok else "bad"}">{body}</tr>\n'
