"""Ansible action: calls the module of the same name and lets it know who runs this, for the journal of the node."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Any

from ansible import context
from ansible.playbook.task import Task
from ansible.plugins.action.normal import ActionModule as Normal

VARIABLE = "NEXUS_OPS_RUN"


def who_runs_this() -> str:
    """Return the run of nexus-ops with its id, person and command, or who called ansible-playbook with what."""
    called = " ".join(Path(path).name for path in context.CLIARGS.get("args") or ())
    return os.environ.get(VARIABLE) or f"{getpass.getuser()}@{socket.gethostname()} ansible-playbook {called}".rstrip()


class ActionModule(Normal):  # type: ignore[misc]
    """Takes what the module takes. Actions of other modules that change nodes call `introduce`."""

    @staticmethod
    def introduce(task: Task) -> None:
        """Put who runs this into the environment that modules of `task` get."""
        task.environment = [*(task.environment or []), {VARIABLE: who_runs_this()}]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module."""
        self.introduce(self._task)
        result: dict[str, Any] = super().run(tmp, task_vars)
        return result
