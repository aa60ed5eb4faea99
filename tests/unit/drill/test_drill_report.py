"""The report of a drill: complete in itself, and what the JSON document says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nexus_ops.drill import Fault
from nexus_ops.drill.measure import Outcome, Window, measure
from nexus_ops.drill.plan import Options, make_plan
from nexus_ops.drill.report import document, render, series
from nexus_ops.drill.run import Drill
from nexus_ops.errors import ExitCode
from nexus_ops.intent.model import Intent


@pytest.fixture
def drill(intent: Intent) -> Drill:
    plan = make_plan(intent, Options(faults=[Fault.CUT], nodes=["w1"]), sandbox=False, is_here=lambda _: False)
    outcomes = [
        Outcome("web", 100 + n / 20, 100 + n / 20, 100.01 + n / 20, "<b>odd</b>" if n == 120 else "")
        for n in range(400)
    ]
    row = measure(plan.steps[0], "web", Window(100, 104, 120, 0, 2.0), outcomes, plan.goal)
    return Drill(plan, [row], outcomes=outcomes, windows=[(plan.steps[0], 104, 114)], begun=100, seconds=20)


def test_the_document_has_the_keys_that_scripts_rely_on(drill: Drill) -> None:
    found = document(drill, "run-1", Path("report.html"))
    keys = {"fault", "node", "service", "sent", "failed", "outage_ms", "p99_before_ms", "p99_ms", "recovered_s"}
    assert found["ok"] is True
    assert keys <= set(found["faults"][0])
    json.dumps(found)


def test_a_problem_or_a_missed_objective_is_not_ok(drill: Drill) -> None:
    assert drill.exit_code == ExitCode.DONE
    drill.problems.append("not whole")
    assert document(drill, "run-1", Path("report.html"))["ok"] is False
    codes = [drill.exit_code]
    drill.interrupted = True
    assert [*codes, drill.exit_code] == [ExitCode.FAILED, ExitCode.INTERRUPTED]


def test_the_page_needs_nothing_from_outside_and_reads_nothing_as_markup(drill: Drill) -> None:
    drill.problems.append("lost </script><img src=x>")
    page = render(drill, "test", "te<st", "2026-01-01 00:00 UTC")
    assert "@@" not in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:", page)
    assert "<b>odd" not in page
    assert "</script><img" not in page
    assert "uPlot=function" in page
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert data["bands"] == [{"title": "cut w1", "from": 4, "to": 14}]
    assert sum(data["charts"][0]["failed"]) == 1


def test_the_chart_shows_the_slowest_answer_and_the_failures_of_each_half_second(drill: Drill) -> None:
    chart = series(drill.outcomes, "web", drill.begun)
    assert len(chart["time"]) == len(chart["slowest"]) == len(chart["failed"]) == 40
    assert chart["failed"][12] == 1
    assert chart["slowest"][0] == 10.0
    assert series(drill.outcomes, "nobody", 100) == {"time": [], "slowest": [], "failed": []}
