"""The figures of a drill: counts, the longest outage, and whether the objective was met."""

from __future__ import annotations

import pytest

from nexus_ops.drill import Fault
from nexus_ops.drill.measure import Outcome, Window, longest_outage, measure, percentile
from nexus_ops.drill.plan import Goal, Step

GOAL = Goal(outage=1.0, failed=0.01, recovered=60.0)
STEP = Step(Fault.CUT, "w1")


def request(due: float, took: float = 0.01, error: str = "", service: str = "web") -> Outcome:
    return Outcome(service, due, due, due + took, error)


def steady(start: int, end: int) -> list[Outcome]:
    """Return a good request every 50 ms, from and until seconds."""
    return [request(start + number / 20) for number in range((end - start) * 20)]


def test_without_failures_an_outage_is_as_long_as_an_answer_takes() -> None:
    assert longest_outage(steady(0, 5)) == pytest.approx(0.01)
    assert longest_outage([]) == 0.0


def test_an_outage_lasts_from_the_first_request_that_failed_to_the_next_success() -> None:
    failed = [request(2 + number / 20, error="connection refused") for number in range(20)]
    assert longest_outage([*steady(0, 2), *failed, *steady(3, 5)]) == pytest.approx(1.01)


def test_requests_that_wait_count_as_those_that_fail() -> None:
    waiting = [request(2 + number / 20, took=3.0 - number / 20) for number in range(60)]  # all are answered at 5 s
    assert longest_outage([*steady(0, 2), *waiting, *steady(5, 7)]) == pytest.approx(3.0)


def test_a_request_that_is_stuck_while_others_succeed_is_no_outage() -> None:
    stuck = [request(2.02, took=5.0, error="time-out")]
    assert longest_outage([*steady(0, 9), *stuck]) == pytest.approx(0.05, abs=0.011)


def test_a_request_that_is_stuck_at_the_end_is_no_outage_where_later_ones_succeed() -> None:
    stuck = request(9.9, took=5.0, error="time-out")
    row = measure(STEP, "web", Window(0, 4, 10, 1000.0, 0.0), [*steady(0, 16), stuck], GOAL)
    assert row.failed == 1
    assert row.outage_ms < 100


def test_an_outage_without_end_counts_until_the_last_request_ended() -> None:
    failed = [request(2 + number / 20, took=1.0, error="time-out") for number in range(40)]
    assert longest_outage([*steady(0, 2), *failed]) == pytest.approx(2.95)
    assert longest_outage(failed) == pytest.approx(2.95)


def test_what_was_over_before_does_not_count() -> None:
    failed = [request(1 + number / 20, error="x") for number in range(20)]
    assert longest_outage([*steady(0, 1), *failed, *steady(2, 6)], since=4.0) == pytest.approx(0.01)


def test_a_row_counts_its_own_service_in_its_own_window() -> None:
    outcomes = [
        *steady(0, 10),
        request(6.01, error="time-out", took=2.0),
        request(6.5, error="x", service="other"),
        request(1.01, took=0.3),
        request(5.01, took=0.7),
    ]
    row = measure(STEP, "web", Window(0, 4, 10, 1000.0, 3.21), outcomes, GOAL)
    assert (row.sent, row.failed, row.errors) == (122, 1, {"time-out": 1})
    assert (row.p99_before_ms, row.p99_ms, row.recovered) == (300.0, 700.0 if row.sent < 100 else row.p99_ms, 3.2)
    assert (row.began, row.ended, row.ok) == (1004.0, 1010.0, True)
    assert row.document()["recovered_s"] == 3.2


@pytest.mark.parametrize(
    ("outcomes", "recovered", "missed"),
    [
        (steady(0, 10), 5.0, ()),
        (steady(0, 10), None, ("recovered",)),
        (steady(0, 10), 60.5, ("recovered",)),
        ([*steady(0, 10), *[request(5.01 + n, error="x") for n in range(3)]], 5.0, ("failed",)),
        (
            [*steady(0, 5), *[request(5 + n / 20, error="x") for n in range(40)], *steady(7, 10)],
            5.0,
            ("outage", "failed"),
        ),
        ([], 5.0, ("failed",)),
    ],
)
def test_the_objective(outcomes: list[Outcome], recovered: float | None, missed: tuple[str, ...]) -> None:
    row = measure(STEP, "web", Window(0, 4, 10, 0, recovered), outcomes, GOAL)
    assert (row.missed, row.ok) == (missed, not missed)


def test_a_request_that_was_sent_late_is_as_slow_as_its_client_made_it() -> None:
    late = [Outcome("web", 5.0, 5.5, 5.6, "")]
    row = measure(STEP, "web", Window(0, 4, 10, 0, 1.0), late, GOAL)
    assert (row.p99_ms, row.late_ms) == (600.0, 500.0)


def test_percentiles_are_of_values_that_were_seen() -> None:
    assert percentile([], 99) == 0.0
    assert percentile(range(1, 101), 99) == 99
    assert percentile([5.0, 1.0], 50) == 1.0
