"""Ansible action: calls the module service_release, and brings it the archives that a node lacks."""

from __future__ import annotations

import getpass
import json
import socket
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.loader import action_loader

# What the node is told of a service; its variables go another way, its source stays here.
TOLD = ("setup", "command", "port", "health", "drain_timeout")
PASSED_ON = (
    *("root", "allowed_addresses", "packages", "keep_releases", "start_timeout", "setup_timeout"),
    *("only", "run", "hold", "taken_back", "observe"),
)


class ActionModule(action_loader.get("node_module", class_only=True)):  # type: ignore[misc]
    """Arguments: `phase` (prepare, activate, settle, undo, remove, report), `services` (as service_deploy_services),
    `releases` (what the action service_source returned), and the options of the module that PASSED_ON names.

    A node runs the services whose `nodes` name it.
    """

    _VALID_ARGS = frozenset(("phase", "services", "releases", *PASSED_ON))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do the phase: one module run when nothing is to be uploaded."""
        super().run(tmp, task_vars)
        self._variables = task_vars or {}
        self.introduce(self._task)
        phase = self._task.args["phase"]
        if phase != "prepare":
            return self._call(phase)
        return self._prepare()

    def _prepare(self) -> dict[str, Any]:
        here, releases = self._here(), self._task.args["releases"]
        known = {name: {"size": releases[name]["archive_size"], "sha256": releases[name]["sha256"]} for name in here}
        result = self._call("inspect", archives=known)
        if result.get("failed") or not result["missing"]:
            return result
        needed = {name: known[name] for name in result["missing"]}
        self._require_archives(needed)
        if not self._task.check_mode:
            packed = {name for name in needed if releases[name]["archive"]}  # the others come from a registry
            self._upload({name: needed[name] for name in packed - set(result["held"])})
        installed = self._call("install", archives=needed)
        joined = {**installed, **{key: result[key] for key in ("due", "unwanted", "in_use", "unsettled", "held")}}
        joined["changed"] = result["changed"] or installed.get("changed", False)
        for key in ("diff", "steps"):
            joined[key] = [*result.get(key, []), *installed.get(key, [])]
        return joined

    def _require_archives(self, needed: dict[str, Any]) -> None:
        """Raise AnsibleActionFail for a release that is neither on the node nor on this controller."""
        for name in needed:
            packed = self._task.args["releases"][name]
            if not (packed["archive"] or packed["origin"]):
                raise AnsibleActionFail(
                    f"release {packed['release']} of {name} is not on this node any more, and not on the controller "
                    "either; take another release (nothing that runs was touched)"
                )

    def _upload(self, needed: dict[str, Any]) -> None:
        """Bring archives to a folder of Ansible's on the node, removed after the task, and note where they are."""
        shell = self._connection._shell  # noqa: SLF001  Ansible's own way
        if shell.tmpdir is None:
            self._make_tmp_path()
        for name, archive in needed.items():
            packed = self._task.args["releases"][name]
            archive["path"] = shell.join_path(shell.tmpdir, f"{name}-{packed['release']}.tar.gz")
            try:
                self._transfer_file(packed["archive"], archive["path"])
            except AnsibleError as error:
                reason = " | ".join(line.strip() for line in str(error).splitlines() if line.strip())
                raise AnsibleActionFail(
                    f"cannot upload release {packed['release']} of {name} to {shell.tmpdir}: {reason}; "
                    "see that there is room and run again (nothing that runs was touched)"
                ) from None

    def _here(self) -> dict[str, Any]:
        node = self._variables["inventory_hostname"]
        services, only = self._task.args.get("services") or {}, self._task.args.get("only") or ""
        return {name: one for name, one in services.items() if node in one["nodes"] and only in ("", name)}

    def _call(self, phase: str, **more: Any) -> dict[str, Any]:
        """Run the module. Variables go as one text: each value hidden by itself would black out harmless texts too."""
        here, releases = self._here(), self._task.args.get("releases") or {}
        told = []
        for name, service in here.items():
            packed = releases.get(name, {})
            facts = {"alone": len(service["nodes"]) == 1, "image": service["source"].get("image") or ""}
            facts |= {key: packed[key] for key in ("release", "origin", "unpacked_size", "image") if key in packed}
            told.append({"name": name, **facts, **{key: service[key] for key in TOLD if key in service}})
        arguments = {key: self._task.args[key] for key in PASSED_ON if key in self._task.args}
        arguments.update(
            phase=phase,
            services=told,
            environments=json.dumps({name: service.get("env") or {} for name, service in here.items()}),
            by=f"{getpass.getuser()}@{socket.gethostname()}",
            **more,
        )
        result: dict[str, Any] = self._execute_module(
            module_name="service_release", module_args=arguments, task_vars=self._variables
        )
        message = str(result.get("msg") or "")
        for name in here:
            left_out = releases.get(name, {}).get("left_out")
            about = any(f" of {name}{end}" in message for end in (" ", ":")) and "last log lines" in message
            if result.get("failed") and left_out and about:
                result["msg"] = f"{message}\n.gitignore left out of this release: {', '.join(left_out)}"
        return result
