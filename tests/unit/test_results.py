"""How a run ended, in one line."""

from __future__ import annotations

import pytest

from nexus_ops.cli.app import Application
from nexus_ops.events import Change, Event, Kind
from nexus_ops.operation import judge
from nexus_ops.runner import Outcome
from nexus_ops.ui.results import show_result

CHANGED = Event(Kind.CHANGED, "w1", "Write", changes=(Change("Write", "write /etc/x"),))
HALF = Event(Kind.FAILED, "w1", "Write", "no space", changes=(Change("Write", "write /etc/x"),))
BEGUN = Event(Kind.STARTED, "w2", "Start")
COUNTED = Event(Kind.STATS, stats={"w1": {"ok": 1, "changed": 0, "failed": 1, "unreachable": 0}})


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "nothing changed"),
        ([BEGUN], "may have changed w2 (at: Start)"),
        ([CHANGED, BEGUN], "1 changed, may have changed w2 (at: Start)"),
        ([BEGUN, Event(Kind.SKIPPED, "w2", "Start")], "nothing changed"),
        ([HALF, COUNTED], "1 changed"),
    ],
)
def test_the_line_that_sums_it_up(capsys: pytest.CaptureFixture[str], events: list[Event], words: str) -> None:
    outcome = Outcome(interrupted=True)
    for event in events:
        outcome.take(event)
    show_result(Application(), judge("id", outcome, set(), {}))
    assert f"interrupted: {words}, 0.0 s" in " ".join(capsys.readouterr().out.split())
