"""Ansible action: calls several modules that only read in one task, so that nodes of all kinds are asked at once."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.loader import action_loader


class ActionModule(ActionBase):  # type: ignore[misc]
    """Arguments: by action what it takes. The reports are joined to one.

    `virtual_ip`, an address, is for nodes that are not to have it: whether they do. Without arguments, it is seen that
    the node answers.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call one module after the other, also when one fails."""
        super().run(tmp, task_vars)
        calls = dict(self._task.args)
        virtual_ip = calls.pop("virtual_ip", "")
        results: list[dict[str, Any]] = []
        if virtual_ip or not calls:
            results.append(self._look_for(virtual_ip))
        results += [self._call(name, arguments, task_vars or {}) for name, arguments in calls.items()]
        failed = [str(result.get("msg") or "it failed without a message") for result in results if result.get("failed")]
        report = {key: value for result in results for key, value in (result.get("report") or {}).items()}
        return {"changed": False, "report": report, "failed": bool(failed), "msg": "; ".join(failed)}

    def _look_for(self, virtual_ip: str) -> dict[str, Any]:
        """Say whether the node has that address, without the price of a module; of none only that it answers."""
        # Debian 13's ip colours what it prints to a terminal, and Ansible is one.
        ask = ["ip", "-color=never", "-oneline", "address", "show", "to", virtual_ip]
        command = shlex.join(ask) if virtual_ip else "true"
        answer = self._low_level_execute_command(command)
        # A login may print more.
        report = {"has_virtual_ip": f" {virtual_ip}/" in answer["stdout"]} if virtual_ip else {}
        return {"failed": answer["rc"] != 0, "msg": answer["stderr"], "report": report}

    def _call(self, name: str, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        task = self._task.copy()
        task.action, task.args = name, dict(arguments)
        action = action_loader.get(
            name,
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        result: dict[str, Any] = action.run(task_vars=variables)
        return result
