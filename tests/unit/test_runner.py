"""Real runs of Ansible on this machine: what comes out of them, and how they are ended."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from nexus_ops.content import Content
from nexus_ops.events import Event, Kind
from nexus_ops.operation import judge
from nexus_ops.runner import Invocation, Outcome, execute, plan_invocation

HOSTS = {
    "all": {
        "hosts": {
            "here": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "gone": {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_common_args": "-o ConnectTimeout=2"},
        }
    }
}


def command(line: str, **more: Any) -> dict[str, Any]:
    return {"name": line, "ansible.builtin.command": line, "changed_when": False, **more}


def invocation(folder: Path, *plays: dict[str, Any]) -> Invocation:
    (folder / "hosts.yml").write_text(yaml.safe_dump(HOSTS))
    (folder / "playbooks").mkdir()
    content = Content(folder)
    text = yaml.safe_dump([{"gather_facts": False, "name": "Play", **play} for play in plays])
    content.playbook("some").write_text(text)
    content.configuration.touch()
    return plan_invocation(content, "some", folder / "hosts.yml")


def run(wanted: Invocation) -> Outcome:
    return execute(wanted, lambda _: None, lambda: None)


def test_a_host_that_a_task_was_delegated_to_is_the_one_that_is_lost(tmp_path: Path) -> None:
    loop = {"loop": ["here", "gone"], "loop_control": {"loop_var": "asked_host"}}
    task = command("true", delegate_to="{{ asked_host }}", **loop)
    outcome = run(invocation(tmp_path, {"hosts": "here", "tasks": [task]}))
    (lost,) = outcome.unreachable
    assert lost.host == "gone"
    assert "Connection refused" in lost.message
    assert outcome.stats["gone"]["unreachable"] == 1
    assert outcome.stats["here"]["unreachable"] == 0


def test_the_items_of_other_loops_are_no_hosts(tmp_path: Path) -> None:
    outcome = run(invocation(tmp_path, {"hosts": "gone", "tasks": [command("true", loop=["here", "caddy.service"])]}))
    assert [event.host for event in outcome.unreachable] == ["gone"]
    assert set(outcome.stats) == {"gone"}


def test_a_lost_host_that_the_play_goes_on_without_is_none_of_the_run(tmp_path: Path) -> None:
    loop = {"loop": ["gone"], "loop_control": {"loop_var": "asked_host"}}
    lost = command("true", delegate_to="{{ asked_host }}", ignore_unreachable=True, **loop)
    outcome = run(invocation(tmp_path, {"hosts": "here", "tasks": [lost, command("true")]}))
    assert outcome.ok
    assert [event.host for event in outcome.ignored] == ["gone"]


def processes_of(wanted: Invocation, patience: float = 5.0) -> list[str]:
    """Return the processes of a run that are still there after some seconds."""
    deadline = time.monotonic() + patience
    while (found := _processes_of(wanted)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _processes_of(wanted: Invocation) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(wanted.playbook) in entry.read_text():
                found.append(entry.parent.name)
        except OSError:
            continue
    return found


def test_a_run_that_goes_well(tmp_path: Path) -> None:
    outcome = run(invocation(tmp_path, {"hosts": "here", "tasks": [command("true")]}))
    assert outcome.ok
    assert outcome.stats == {"here": {"ok": 1, "changed": 0, "failed": 0, "unreachable": 0}}


def test_a_typed_password_of_sudo_wins_and_stands_nowhere(tmp_path: Path) -> None:
    password = "correct horse {{ 1 }} '\""
    seen: list[str] = []
    hashed = hashlib.sha256(password.encode()).hexdigest()
    task = {"ansible.builtin.assert": {"that": f"ansible_become_password | hash('sha256') == '{hashed}'"}}
    play = {"hosts": "here", "vars": {"ansible_become_password": "another"}, "tasks": [task]}
    wanted = replace(invocation(tmp_path, play), sudo_password=password)

    def look(event: Event) -> None:
        if event.kind is Kind.STARTED:
            folders = [path for path in Path(tempfile.gettempdir()).glob("nexus-ops-*") if path.is_dir()]
            seen.extend(str(path) for folder in folders for path in folder.rglob("*") if path.is_file())
            files = [path.read_bytes() for path in map(Path, seen) if path.exists()]
            commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
            assert not any(b"correct horse" in text for text in [*files, *commands])

    outcome = execute(wanted, look, lambda: None)
    assert outcome.ok, outcome
    assert seen, "ansible-runner has files meanwhile"
    assert "correct horse" not in repr(wanted)


def test_a_task_that_fails(tmp_path: Path) -> None:
    task = {"name": "Step", "ansible.builtin.fail": {"msg": "no luck"}}
    outcome = run(invocation(tmp_path, {"hosts": "here", "tasks": [task]}))
    assert [(event.host, event.task, event.message) for event in outcome.failures] == [("here", "Step", "no luck")]


def test_a_playbook_that_is_none(tmp_path: Path) -> None:
    outcome = run(invocation(tmp_path, {"hosts": "here", "nonsense": True}))
    assert not outcome.ok
    assert "nonsense" in " ".join(outcome.output)


def test_a_lost_node_that_the_play_ignores_is_no_failure(tmp_path: Path) -> None:
    plays: list[dict[str, Any]] = [
        {"hosts": "here", "tasks": [command("true")]},
        {"hosts": "gone", "ignore_unreachable": True, "tasks": [command("true")]},
    ]
    result = judge("id", run(invocation(tmp_path, *plays)), {"gone"}, {})
    assert result.exit_code == 0
    assert result.retired_left == ("gone",)


def test_a_lost_node_is_a_failure(tmp_path: Path) -> None:
    result = judge("id", run(invocation(tmp_path, {"hosts": "all", "tasks": [command("true")]})), set(), {})
    assert result.exit_code == 3
    assert [problem.node for problem in result.problems] == ["gone"]


def test_a_signal_ends_the_run_whenever_it_comes(tmp_path: Path) -> None:
    wanted = invocation(tmp_path, {"hosts": "here", "tasks": [command(f"sleep {number}") for number in (1, 2, 3, 4)]})
    seen: list[str] = []

    def stop_at_once(event: Event) -> None:
        if event.kind is Kind.STARTED:
            if not seen:
                os.kill(os.getpid(), signal.SIGTERM)
            seen.append(event.task)

    outcome = execute(wanted, stop_at_once, lambda: None)
    assert outcome.interrupted
    assert "sleep 3" not in seen, "it ends soon, not when all is done"
    assert not processes_of(wanted)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "the signals are given back"


def test_an_interrupted_run_says_what_it_changed_and_may_have_changed(tmp_path: Path) -> None:
    changing = {"name": "Change", "ansible.builtin.command": f"touch {tmp_path / 'mark'}"}
    waiting = {"name": "Wait", "ansible.builtin.command": "sleep 20"}
    wanted = invocation(tmp_path, {"hosts": "here", "tasks": [changing, waiting]})

    def stop_later(event: Event) -> None:
        if event.kind is Kind.STARTED and event.task == "Wait":
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = execute(wanted, stop_later, lambda: None)
    assert outcome.interrupted
    assert not outcome.stats, "Ansible did not come to count"
    assert outcome.changed == 1
    assert outcome.may_have_changed == {"here": "Wait"}
    document = judge("id", outcome, set(), {}).document()
    assert (document["changed"], document["may_have_changed"]) == (1, {"here": "Wait"})


def test_a_run_to_its_end_may_have_changed_nothing_else(tmp_path: Path) -> None:
    tasks = [command("true"), {"ansible.builtin.include_tasks": str(tmp_path / "more.yml")}]
    (tmp_path / "more.yml").write_text(yaml.safe_dump([command("true")]))
    assert run(invocation(tmp_path, {"hosts": "here", "tasks": tasks})).may_have_changed == {}


def test_nothing_goes_on_when_the_view_breaks(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    wanted = invocation(tmp_path, {"hosts": "here", "tasks": [command("sleep 2"), command(f"touch {mark}")]})

    def break_down(event: Event) -> None:
        if event.kind is Kind.STARTED:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        execute(wanted, break_down, lambda: None)
    assert not processes_of(wanted)
    assert not mark.exists()
