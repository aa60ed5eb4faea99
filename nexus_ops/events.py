"""What happens during a run: ansible-runner's events, reduced to what a person or a script wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nexus_ops.text import all_visible, visible


class Kind(StrEnum):
    """What an event says."""

    TASK = "task"  # a task begins, on no host yet
    STARTED = "started"  # a task begins on `host`
    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    FAILED = "failed"
    IGNORED = "ignored"  # failed, and the playbook goes on as if nothing were
    UNREACHABLE = "unreachable"
    OUTPUT = "output"  # text of Ansible itself: warnings and errors outside of tasks
    STATS = "stats"


@dataclass(frozen=True)
class Change:
    """One thing that a task changed, or would change: `text` is a unified diff or a sentence."""

    task: str
    text: str


@dataclass(frozen=True)
class Event:
    """One event. `message` is set for failures and output, `changes` where it changed something, `stats` at the end.

    `report` is what a module says of its host under that name in its result, for those who asked for it.
    `counted_for` is the host that Ansible counts an unreachable one for: a task that was delegated belongs to another.
    """

    kind: Kind
    host: str = ""
    task: str = ""
    message: str = ""
    changes: tuple[Change, ...] = ()
    stats: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    stdout: str = ""
    pid: int = 0
    report: Mapping[str, Any] = field(default_factory=dict)
    counted_for: str = ""


def read_event(raw: Mapping[str, Any]) -> Event | None:
    """Return the event that ansible-runner's `raw` one stands for, None for those that say nothing of interest."""
    data = raw.get("event_data") or {}
    host, task = data.get("host", ""), _task_name(data.get("task") or data.get("name") or "")
    stdout = visible(str(raw.get("stdout") or ""))
    common = {"host": host, "task": task, "stdout": stdout, "pid": raw.get("pid", 0) or 0}
    result = all_visible(data.get("res") or {})
    match raw.get("event"):
        case "playbook_on_task_start" | "playbook_on_handler_task_start":
            return Event(Kind.TASK, **common)
        case "runner_on_start":
            return Event(Kind.STARTED, **common)
        case "runner_on_ok":
            report = result.get("report") or {}
            if result.get("changed"):
                return Event(Kind.CHANGED, **common, changes=tuple(_changes(task, result)), report=report)
            return Event(Kind.OK, **common, report=report)
        case "runner_on_skipped":
            return Event(Kind.SKIPPED, **common)
        case "runner_on_failed":
            kind = Kind.IGNORED if data.get("ignore_errors") else Kind.FAILED
            changes = tuple(_changes(task, result)) if result.get("changed") else ()
            return Event(kind, **common, message=failure_message(result), changes=changes)
        case "runner_on_unreachable":
            lost = {**common, "host": _lost_host(host, result), "counted_for": host}
            return Event(Kind.UNREACHABLE, **lost, message=_explained(failure_message(result)))
        case "playbook_on_stats":
            return Event(Kind.STATS, **common, stats=_stats(data))
        case "error" | "warning" | "verbose" | "deprecated":
            return Event(Kind.OUTPUT, **common, message=stdout.strip())
    return Event(Kind.OUTPUT, **common) if raw.get("stdout") else None


def _explained(message: str) -> str:
    """Return what ssh said, with the likely cause where an ssh server hung up before it greeted."""
    if "kex_exchange_identification" not in message:
        return message
    return f"{message.rstrip()} (sshd may refuse this machine for a while: `journalctl -u ssh` on the node says why)"


def _lost_host(host: str, result: Mapping[str, Any]) -> str:
    """Return which host could not be reached: of a loop over hosts that a task is delegated to, the item.

    Ansible's result does not say to whom a task was delegated; the loop's variable does, whose name ends in `_host`.
    """
    for item in result.get("results", []):
        variable = str(item.get("ansible_loop_var", "")) if isinstance(item, Mapping) else ""
        if variable.endswith("_host") and item.get("unreachable"):
            return str(item[variable])
    return host


def _task_name(name: str) -> str:
    """Return a task's name without the role that Ansible puts before it, whose folder has hyphens: `role : Name`."""
    return name.partition(" : ")[2] or name


def failure_message(result: Mapping[str, Any]) -> str:
    """Return the reason of a failed result in few lines: the module's message, else the end of what it printed."""
    items = [
        item
        for item in result.get("results", [])
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable"))
    ]
    if items:
        return "; ".join(dict.fromkeys(failure_message(item) for item in items))
    message = str(result.get("msg") or result.get("censored") or "").strip()
    detail = str(result.get("module_stderr") or result.get("stderr") or result.get("module_stdout") or "").strip()
    if detail and ("MODULE FAILURE" in message or not message or message == "non-zero return code"):
        return detail.splitlines()[-1].strip()
    return message or "failed without a message"


def _changes(task: str, result: Mapping[str, Any]) -> list[Change]:
    diffs = result.get("diff")
    if not diffs and result.get("results"):
        return [change for item in result["results"] if item.get("changed") for change in _changes(task, item)]
    entries = diffs if isinstance(diffs, list) else [diffs] if diffs else []
    changes = [Change(task, text) for text in map(_diff_text, entries) if text]
    return changes or [Change(task, "; ".join(map(str, result.get("steps") or [])) or "changes")]


def _diff_text(entry: Any) -> str:
    """Return one of Ansible's diff entries as text: prepared, or from what was before and after."""
    import difflib

    if not isinstance(entry, Mapping):
        return ""
    if "prepared" in entry:
        return str(entry["prepared"]).rstrip()
    before, after = _lines(entry.get("before", "")), _lines(entry.get("after", ""))
    old = str(entry.get("before_header") or "before")
    new = str(entry.get("after_header") or old)
    return "\n".join(line.rstrip("\n") for line in difflib.unified_diff(before, after, old, new))


def _lines(value: Any) -> list[str]:
    import json

    text = value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True)
    return text.splitlines(keepends=True)


def _stats(data: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    columns = {"ok": "ok", "changed": "changed", "failures": "failed", "dark": "unreachable"}
    hosts = {host for column in (*columns, "skipped", "processed") for host in data.get(column) or {}}
    return {
        host: {name: int((data.get(column) or {}).get(host, 0)) for column, name in columns.items()}
        for host in sorted(hosts)
    }
