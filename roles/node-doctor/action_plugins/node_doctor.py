"""Ansible action: what a node says of itself, also one that has no python3 yet or refuses sudo. Changes nothing."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

# Needs nothing but a shell. Each line is a key and a value; what is missing stays empty.
BASICS = r"""
. /etc/os-release 2>/dev/null; echo "system $ID $VERSION_ID"
echo "name $PRETTY_NAME"
echo "python $(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)"
if [ "$(id -u)" = 0 ]; then echo "root yes"
elif said=$(sudo -n true 2>&1); then echo "root yes"
else echo "root $said"; fi
"""
PYTHON = (3, 9)  # the oldest that Ansible's modules run on


class ActionModule(ActionBase):  # type: ignore[misc]
    """Arguments: those of the module node_doctor. Returns a `report` with what the shell and the module say."""

    _VALID_ARGS = frozenset(("vrrp", "reach"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the shell, and the module where it can run as root."""
        super().run(tmp, task_vars)
        said = self._low_level_execute_command(BASICS, sudoable=False)
        lines = (line.partition(" ") for line in said["stdout"].splitlines())
        report: dict[str, Any] = {key: value.strip().strip('"') for key, _, value in lines}
        if (task_vars or {}).get("ansible_become_password"):
            report["root"] = "yes"  # whether sudo takes it is seen by the module's start
        version = tuple(int(part) for part in report.get("python", "").split(".") if part)
        if report.get("root") != "yes" or version < PYTHON:
            return {"changed": False, "report": report}
        result: dict[str, Any] = self._execute_module(module_args=self._task.args, task_vars=task_vars)
        if "report" in result:
            result["report"] = {**report, **result["report"]}
        return result
