"""The record of runs."""

from __future__ import annotations

import subprocess

import pytest

from nexus_ops import runs
from nexus_ops.environment import Environment
from nexus_ops.errors import UsageError
from nexus_ops.runs import find_record, list_records, start_record


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
