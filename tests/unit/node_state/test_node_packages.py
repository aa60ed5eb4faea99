"""apt's locks: another process has one, and a run waits for it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible.module_utils.node_state import packages
from ansible.module_utils.node_state.errors import StateError

HOLD = """
import fcntl, sys, time
with open(sys.argv[1], "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def lists_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lists-lock"
    monkeypatch.setattr(packages, "APT_LOCKS", (str(tmp_path / "missing"), str(path)))
    return path


@pytest.fixture
def apt_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get that only writes down that it was called."""
    called = tmp_path / "called"
    program = tmp_path / "bin/apt-get"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >>{called}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return called


def holding(lock: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(lock), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_owner_of_a_lock_is_known_without_taking_it(lists_lock: Path) -> None:
    assert packages.lock_owner() is None
    for holder in holding(lists_lock, 60):
        assert packages.lock_owner() == (str(lists_lock), holder.pid)
    assert packages.lock_owner() is None


def test_apt_runs_once_the_lists_are_free(lists_lock: Path, apt_get: Path) -> None:
    for _ in holding(lists_lock, 1):
        began = time.monotonic()
        packages.apt_get(["update"], timeout=5)
        assert time.monotonic() - began > 0.5
        assert packages.lock_owner() is None
    assert apt_get.read_text() == "update\n"


def test_a_lock_that_stays_taken_is_named_with_who_has_it(
    lists_lock: Path, apt_get: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "APT_TIMEOUT", 0.2)
    for holder in holding(lists_lock, 60):
        with pytest.raises(StateError, match=rf"\(process {holder.pid}\) still holds {lists_lock} after"):
            packages.apt_get(["update"], timeout=5)
        assert holder.poll() is None
    assert not apt_get.exists()
