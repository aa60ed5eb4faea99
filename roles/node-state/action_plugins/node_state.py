"""Ansible action: calls the module of the same name, and lets it know who runs this, for the journal of the node."""

from __future__ import annotations

from typing import Any

from ansible.plugins.loader import action_loader


class ActionModule(action_loader.get("node_module", class_only=True)):  # type: ignore[misc]
    """Takes what the module takes."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.introduce(self._task)
        return {**result, **self._execute_module(task_vars=task_vars)}
