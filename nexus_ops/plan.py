"""What a run would change, from its events in check mode."""

from __future__ import annotations

from typing import Any

from nexus_ops.events import Change
from nexus_ops.operation import Result


def pending_changes(result: Result) -> dict[str, list[Change]]:
    """Return the changes by node; a node without changes has an empty list."""
    changes: dict[str, list[Change]] = {node: [] for node in result.outcome.stats}
    for node, events in result.outcome.changes.items():
        changes.setdefault(node, []).extend(change for event in events for change in event.changes)
    return changes


def plan_document(changes: dict[str, list[Change]]) -> dict[str, Any]:
    """Return what `plan --json` shows."""
    return {
        "changes": sum(map(len, changes.values())),
        "nodes": {
            node: [{"task": change.task, "diff": change.text} for change in found] for node, found in changes.items()
        },
    }
