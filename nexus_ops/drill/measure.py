"""What became of the requests, in numbers. Pure functions; all moments are monotonic seconds."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nexus_ops.drill.plan import Goal, Step

LATE = 0.1
"""Seconds behind its schedule, for one request in a hundred, from which on this program itself was the bottleneck."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it was due, sent and over, and why it failed; empty: it succeeded."""

    service: str
    due: float
    began: float
    ended: float
    error: str

    @property
    def latency(self) -> float:
        """Return the seconds from when it was due until it was over: a late client hides nothing."""
        return self.ended - self.due


@dataclass(frozen=True)
class Row:
    """What one fault cost one service. `recovered` in seconds, None: not within the deadline.

    `errors` counts the failures by their reason. `late_ms`: how far this program was behind its schedule (p99).
    `began` and `ended` are the window that was counted, in seconds of the epoch.
    """

    step: Step
    service: str
    sent: int
    failed: int
    outage_ms: float
    p99_before_ms: float
    p99_ms: float
    recovered: float | None
    missed: tuple[str, ...]
    late_ms: float
    began: float
    ended: float
    held_virtual_ip: bool = False
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether the objective was met."""
        return not self.missed

    def document(self) -> dict[str, Any]:
        """Return an entry of `faults` in the JSON document."""
        return {
            "fault": self.step.fault.value,
            "node": self.step.node,
            "killed": self.step.killed,
            "held_virtual_ip": self.held_virtual_ip,
            "service": self.service,
            "ok": self.ok,
            "missed": list(self.missed),
            "sent": self.sent,
            "failed": self.failed,
            "errors": self.errors,
            "outage_ms": self.outage_ms,
            "p99_before_ms": self.p99_before_ms,
            "p99_ms": self.p99_ms,
            "recovered_s": self.recovered,
            "late_ms": self.late_ms,
            "began": round(self.began, 3),
            "ended": round(self.ended, 3),
        }


@dataclass(frozen=True)
class Window:
    """A fault's time: `before` until `begin` is what it is compared with, `begin` until `end` is counted.

    `epoch` is what to add to a moment for seconds of the epoch. `recovered` as in Row.
    """

    before: float
    begin: float
    end: float
    epoch: float
    recovered: float | None
    held_virtual_ip: bool = False


def measure(step: Step, service: str, window: Window, outcomes: Iterable[Outcome], goal: Goal) -> Row:
    """Return what the fault in `window` cost `service`."""
    known = [outcome for outcome in outcomes if outcome.service == service and window.before <= outcome.due]
    mine = [outcome for outcome in known if outcome.due < window.end]
    before = [outcome for outcome in mine if outcome.due < window.begin]
    during = [outcome for outcome in mine if outcome.due >= window.begin]
    failed = [outcome for outcome in during if outcome.error]
    outage = longest_outage(mine, window.begin, [outcome for outcome in known if outcome.due >= window.end])
    return Row(
        step=step,
        service=service,
        sent=len(during),
        failed=len(failed),
        outage_ms=_ms(outage),
        p99_before_ms=_ms(percentile([each.latency for each in before if not each.error], 99)),
        p99_ms=_ms(percentile([each.latency for each in during if not each.error], 99)),
        recovered=None if window.recovered is None else round(window.recovered, 1),
        missed=misses(goal, len(during), len(failed), outage, window.recovered),
        late_ms=_ms(percentile([outcome.began - outcome.due for outcome in during], 99)),
        began=window.begin + window.epoch,
        ended=window.end + window.epoch,
        held_virtual_ip=window.held_virtual_ip,
        errors=dict(Counter(outcome.error for outcome in failed).most_common()),
    )


def misses(goal: Goal, sent: int, failed: int, outage: float, recovered: float | None) -> tuple[str, ...]:
    """Return in which ways the objective was missed: `outage`, `failed`, `recovered`."""
    found = {
        "outage": outage > goal.outage,
        "failed": sent == 0 or failed / sent > goal.failed,
        "recovered": recovered is None or recovered > goal.recovered,
    }
    return tuple(name for name, is_missed in found.items() if is_missed)


def longest_outage(outcomes: Sequence[Outcome], since: float = -math.inf, later: Sequence[Outcome] = ()) -> float:
    """Return in seconds the longest span without a success in which a request was due that failed or had no answer yet.

    It begins at the last success before, or when the first such request was due, whichever is later, and ends with the
    next success, also one of `later`, or where `outcomes` end. Only spans that end after `since` count.
    """
    if not outcomes:
        return 0.0
    last = max(outcome.ended for outcome in outcomes)
    moments = sorted(each.ended for each in (*outcomes, *later) if not each.error and each.ended <= last)
    edges = [-math.inf, *moments, last]
    by_due = sorted(outcomes, key=lambda outcome: outcome.due)
    pending: list[Outcome] = []
    longest, position = 0.0, 0
    for start, end in itertools.pairwise(edges):
        while position < len(by_due) and by_due[position].due < end:
            pending.append(by_due[position])
            position += 1
        pending = [each for each in pending if each.ended > start]
        waiting = [each.due for each in pending if each.error or each.ended >= end]
        if waiting and end > since:
            longest = max(longest, end - max(start, min(waiting)))
    return longest


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of `values`, 0 when there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] if ordered else 0.0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
