"""The record of a run, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nexus_ops.text import all_visible, visible
from nexus_ops.ui.tables import make_console, make_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = ("ok", "changed", "failed", "unreachable")
LISTED = ("run", "started", "command", "by", "result", "changed", "seconds")


def show_list(records: Iterable[Mapping[str, Any]]) -> None:
    """Print a table of the runs."""
    rows = [[record.get(column, "") for column in LISTED] for record in records]
    make_console().print(make_table(LISTED, rows))


def show_record(record: Mapping[str, Any], log: str) -> None:
    """Print who ran what when with what result, how each node fared, and the log."""
    console, record = make_console(), all_visible(record)
    limit = f" --limit {record['limit']}" if record.get("limit") else ""
    seconds = f", {record['seconds']:g} s" if "seconds" in record else ""
    console.print(f"{record['run']}: {record['command']}{limit}, by {record['by']}, started {record['started']}")
    console.print(f"result: {record['result']}{seconds}")
    error = record.get("error")
    if error:
        node, task = (
            (f"{error['node']}: " if error["node"] else ""),
            (f" (at: {error['task']})" if error["task"] else ""),
        )
        console.print(f"error: {node}{error['message']}{task}")
    for node, task in (record.get("may_have_changed") or {}).items():
        console.print(f"may have changed {node} (at: {task})")
    nodes = record.get("nodes")
    if nodes:
        rows = [
            [name, outcome(counts), *(counts.get(column, 0) for column in COLUMNS)] for name, counts in nodes.items()
        ]
        console.print()
        console.print(make_table(["node", "", *COLUMNS], rows))
    if log.strip():
        console.print()
        console.print(visible(log.rstrip("\n")))


def outcome(counts: Mapping[str, int]) -> str:
    """Return in a word how a node fared, by how many of its tasks ended how."""
    return next((word for word in ("unreachable", "failed", "changed") if counts.get(word)), "ok")
