"""Ansible action: packs every service's release on the controller. Nothing is sent to a host."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from secrets import token_hex
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

CONTROLLER = str(Path(__file__).resolve().parent.parent / "controller")
if CONTROLLER not in sys.path:
    sys.path.append(CONTROLLER)


class ActionModule(ActionBase):  # type: ignore[misc]
    """Arguments: `services` (as service_deploy_services), `cache` (a folder here), `keep` (archives per service),
    `only` (the one service it is about, empty: all), `release` (an earlier one of it in place of its source).

    Returns `releases`: for each service that runs somewhere the fields of `service_sources.Release`; and `run`, which
    tells this run's rollout from others.
    """

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset(("services", "cache", "keep", "only", "release"))

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Refuse what cannot be deployed, all of it before anything is packed; then pack."""
        from service_sources import SourceError, check, pack, prune, recall

        super().run(tmp, task_vars)
        arguments = self._task.args
        cache = Path(arguments["cache"])
        only, release = arguments.get("only") or "", arguments.get("release") or ""
        if only and only not in arguments["services"]:
            known = ", ".join(arguments["services"]) or "none"
            raise AnsibleActionFail(f"there is no service {only} (there are: {known}); name one of them")
        services = {name: one for name, one in arguments["services"].items() if only in ("", name)}
        wanted = {name: service for name, service in services.items() if service["nodes"]}
        releases = {}
        try:
            if release:
                found = recall(only, services[only]["source"], release, cache)
                return {"changed": False, "releases": {only: asdict(found)}, "run": token_hex(8)}
            for name, service in wanted.items():
                check(name, service)
            for name, service in wanted.items():
                packed = pack(name, service["source"], str(service.get("setup") or ""), cache)
                releases[name] = asdict(packed)
                prune(cache, name, int(arguments["keep"]))
        except SourceError as error:
            raise AnsibleActionFail(str(error)) from None
        return {"changed": False, "releases": releases, "run": token_hex(8)}
