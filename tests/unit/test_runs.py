"""The record of runs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from nexus_ops import runs
from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.runs import find_record, list_records, start_record
from tests.unit.conftest import Called


def test_record(environment: Environment) -> None:
    record = start_record(environment, "apply ha", "ha", None)
    record.log.write_text("a line\n")
    record.save(result="done", ok=True)
    assert [one["run"] for one in list_records(environment)] == [record.identifier]
    document, log = find_record(environment, "last")
    assert (document["result"], log) == ("done", "a line\n")
    assert find_record(environment, record.identifier[:-2])[0]["run"] == record.identifier


def test_unknown_and_unclear(environment: Environment) -> None:
    with pytest.raises(UsageError, match="no run called 'last'"):
        find_record(environment, "last")
    start_record(environment, "apply ha", "ha", None)
    start_record(environment, "apply ha", "ha", None)
    with pytest.raises(UsageError, match="2 runs called '2'"):
        find_record(environment, "2")


def test_old_records_are_pruned(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEEP", 3)
    for _ in range(5):
        start_record(environment, "plan", "ha", None)
    assert len(list_records(environment)) == 3


def test_run_whose_process_is_gone_was_killed(environment: Environment) -> None:
    record = start_record(environment, "apply ha", "ha", None)
    assert list_records(environment)[0]["result"] == "running"
    with subprocess.Popen(["true"]) as process:
        pass
    record.save(pid=process.pid)
    assert list_records(environment)[0]["result"] == "killed"


@pytest.mark.usefixtures("intent")
def test_a_run_is_shown_with_what_came_of_each_node(environment: Environment, call: Callable[..., Called]) -> None:
    record = start_record(environment, "apply ha", "ha", "w1,w2")
    record.log.write_text("    0.1s  Step\n")
    columns = {"ok": 3, "changed": 0, "failed": 0, "unreachable": 0}
    record.save(
        result="failed",
        seconds=12.5,
        nodes={"w1": {**columns, "changed": 2}, "w2": {**columns, "failed": 1}},
        error={"node": "w2", "task": "Service runs", "message": "no space"},
    )
    shown = call("runs", "show").out.splitlines()
    assert shown[0].startswith(f"{record.identifier}: apply ha --limit w1,w2, by ")
    assert shown[1:3] == ["result: failed, 12.5 s", "error: w2: no space (at: Service runs)"]
    assert [line.split() for line in shown[5:7]] == [
        ["w1", "changed", "3", "2", "0", "0"],
        ["w2", "failed", "3", "0", "1", "0"],
    ]
    assert shown[-1] == "    0.1s  Step"
