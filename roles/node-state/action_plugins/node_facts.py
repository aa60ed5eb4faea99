"""Ansible action: the few facts that our roles need, by the shell. The module setup takes a second for them."""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.action import ActionBase

# os-release(5). The file has shell's own syntax; a line is a key and what it says.
BEGIN = "nexus-ops:facts"  # what a login prints comes before it
SCRIPT = f'echo; echo {BEGIN}; cat /etc/os-release && echo ARCHITECTURE="$(uname -m)"'
NAMES = {"debian": "Debian", "ubuntu": "Ubuntu"}


class ActionModule(ActionBase):  # type: ignore[misc]
    """Takes no arguments. Sets facts of the module setup: distribution and its versions, and architecture."""

    _VALID_ARGS = frozenset(())
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the shell."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        answer = self._low_level_execute_command(SCRIPT, sudoable=False)
        if answer["rc"] != 0:
            return {**result, "failed": True, "msg": f"it does not say what system it is: {answer['stderr'].strip()}"}
        said = dict(
            word.split("=", 1)
            for word in shlex.split(answer["stdout"].rpartition(BEGIN)[2], comments=True)
            if "=" in word
        )
        version = said.get("VERSION_ID", "")
        facts = {
            "distribution": NAMES.get(said.get("ID", ""), said.get("NAME", "unknown")),
            "distribution_version": version,
            "distribution_major_version": version.partition(".")[0],
            "architecture": said["ARCHITECTURE"],
        }
        return {**result, "changed": False, "ansible_facts": facts}
