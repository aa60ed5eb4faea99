#!/usr/bin/python
"""Ansible module: the services of a node, by phases. Used by the action plugin of the same name."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_state import State, StateError
from ansible.module_utils.node_state.errors import words_of
from ansible.module_utils.service_deploy import history, images, records, render
from ansible.module_utils.service_deploy.lock import alone
from ansible.module_utils.service_deploy.model import Service
from ansible.module_utils.service_deploy.node import Node
from ansible.module_utils.service_deploy.report import describe

DOCUMENTATION = r"""
module: service_release
short_description: Releases of services on a node, made ready, activated or removed
description:
  - C(inspect) makes the node ready (packages, accounts, folders, firewall) and says what is missing and what is due.
  - C(install) unpacks and sets up missing releases. Nothing that runs is touched by these two.
  - C(activate) drains, switches, starts and checks what is due, and takes it back when it is not healthy.
  - C(settle) sees that what was activated still runs, and C(undo) takes it back when another node failed.
  - C(remove) stops and removes services that are not named any more.
  - C(report) says what runs.
  - Tasks call the action plugin, which knows the phase C(prepare), that is C(inspect), upload, C(install).
options:
  phase:
    description: What to do.
    required: true
    type: str
    choices: [inspect, install, activate, settle, undo, remove, report]
  root:
    description: Folder of the releases.
    required: true
    type: path
  services:
    description: Services of this node, without their variables.
    type: list
    elements: dict
  environments:
    description: JSON of the services' variables, one text, so that hiding it hides no part of other texts.
    type: str
  archives:
    description: Releases by service, with C(size), C(sha256) and, to install what was uploaded, C(path) on the node.
    type: dict
  allowed_addresses:
    description: Who may reach the ports.
    type: list
    elements: str
  packages:
    description: Debian packages that setup commands need.
    type: list
    elements: str
  by:
    description: Who does it, for the record.
    type: str
  only:
    description: The one service that this is about; all of them when empty.
    type: str
  run:
    description: What tells the rollout of this run from others.
    type: str
  hold:
    description: Keep what runs where the wanted release was rolled back by somebody.
    type: bool
  taken_back:
    description: Mark the release that is replaced as rolled back.
    type: bool
  observe:
    description: Seconds for which C(settle) looks on.
    type: float
  keep_releases:
    description: How many releases of a service are kept.
    type: int
  start_timeout:
    description: Seconds that a service has to become healthy.
    type: float
  setup_timeout:
    description: Seconds that a setup has to end.
    type: float
author: Nexus Ops contributors
"""

EXAMPLES = r"""
- name: Services run as wanted
  service_release:
    phase: activate
    root: /opt/nexus
    services: "{{ service_deploy_services }}"
    releases: "{{ __service_deploy_sources.releases }}"
"""

RETURN = r"""
missing:
  description: Services whose release is not on the node.
  type: list
  returned: always
held:
  description: Services whose image is on the node, brought for another service.
  type: list
  returned: always
due:
  description: Why each service has to be activated, by its name.
  type: dict
  returned: always
in_use:
  description: Services that have run on the node, wanted or not.
  type: list
  returned: phase inspect
unwanted:
  description: Services that are on the node and not wanted.
  type: list
  returned: always
former:
  description: Addresses that may reach the services' ports and are not allowed any more. Phase C(remove) ends that.
  type: list
  returned: phase inspect
unsettled:
  description: Services whose rollout was not seen through to its end.
  type: list
  returned: always
undone:
  description: What came of going back, by service.
  type: dict
  returned: phase undo
report:
  description: C(services), what runs here.
  type: dict
  returned: phase report
steps:
  description: What was done, or would be.
  type: list
  returned: always
"""

PHASES = ["inspect", "install", "activate", "settle", "undo", "remove", "report"]
ARGUMENTS: dict[str, Any] = {
    "phase": {"type": "str", "required": True, "choices": PHASES},
    "root": {"type": "path", "required": True},
    "services": {"type": "list", "elements": "dict", "default": []},
    "environments": {"type": "str", "default": "{}", "no_log": True},
    "archives": {"type": "dict", "default": {}},
    "allowed_addresses": {"type": "list", "elements": "str", "default": []},
    "packages": {"type": "list", "elements": "str", "default": []},
    "by": {"type": "str", "default": ""},
    "only": {"type": "str", "default": ""},
    "run": {"type": "str", "default": ""},
    "hold": {"type": "bool", "default": False},
    "taken_back": {"type": "bool", "default": False},
    "observe": {"type": "float", "default": 0},
    "keep_releases": {"type": "int", "default": 5},
    "start_timeout": {"type": "float", "default": 60},
    "setup_timeout": {"type": "float", "default": 600},
}


PATIENCE = 60.0  # seconds beyond the longest setup


def services_of(parameters: dict[str, Any]) -> list[Service]:
    """Return the services that the arguments describe. Raises StateError."""
    environments = json.loads(parameters["environments"])
    root = Path(parameters["root"])
    services = [Service.of(one, environments.get(one["name"]) or {}, root) for one in parameters["services"]]
    return [_held(service) for service in services] if parameters["hold"] else services


def _held(service: Service) -> Service:
    """Return the service with the release that runs, where somebody rolled the wanted one back."""
    good = records.read_good(service.place)
    if good is None or good.release == service.release or not service.release:
        return service
    if history.verdict_on(service.place, service.release) != history.ROLLED_BACK:
        return service
    return replace(service, release=good.release, held=service.release)


def bring_about(node: Node, parameters: dict[str, Any]) -> dict[str, Any]:
    """Do one phase, and return what there is left to do."""
    phase, by, run = parameters["phase"], parameters["by"], parameters["run"]
    if phase == "inspect":
        sizes = {name: int(archive["size"]) for name, archive in parameters["archives"].items()}
        node.make_ready(parameters["packages"], sizes)
        found = {"missing": node.missing(), "due": node.due(), "unwanted": node.unwanted()}
        node.confirm(found["due"], by)
        images_here = images.held(node.services) if found["missing"] else []
        found |= {"in_use": node.in_use(), "unsettled": node.unsettled(), "held": images_here}
        return {**found, "former": node.former()}
    if phase == "install":
        node.install(parameters["archives"], by, parameters["setup_timeout"])
        return {"missing": []}
    if phase == "activate":
        limit, keep = parameters["start_timeout"], parameters["keep_releases"]
        return {"due": node.activate(by, run, limit, keep, taken_back=parameters["taken_back"])}
    if phase == "settle":
        return {"settled": node.settle(run, parameters["observe"], parameters["start_timeout"])}
    if phase == "undo":
        return {"undone": node.undo(run, by, parameters["start_timeout"])}
    if phase == "report":
        return {"report": {"services": describe(node)}}
    return {"unwanted": node.remove()}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    parameters = module.params
    state = State("service-deploy", check_mode=module.check_mode)
    try:
        services = services_of(parameters)
        secrets = {name: value for service in services for name, value in render.secrets_of(service).items()}
        state = State("service-deploy", check_mode=module.check_mode, secrets=secrets)
        node = Node(state, services, Path(parameters["root"]), parameters["allowed_addresses"], parameters["only"])
        reads = module.check_mode or parameters["phase"] == "report"
        # An upload or a setup of a run that was killed may go on here: it ends first.
        with contextlib.nullcontext() if reads else alone(parameters["setup_timeout"] + PATIENCE):
            if not reads:
                records.make_kept_private()
            found = bring_about(node, parameters)
    except StateError as error:
        module.fail_json(msg=str(error), **state.result())
    except OSError as error:
        module.fail_json(msg=words_of(error), **state.result())
    module.exit_json(**{**state.result(), **found})


if __name__ == "__main__":
    main()
