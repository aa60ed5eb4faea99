#!/usr/bin/python
"""Ansible module: what a node can say about whether a run could succeed on it. Reads only."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_doctor import facts, firewalls, ports, reach
from ansible.module_utils.node_doctor.vrrp import probe
from ansible.module_utils.node_state import packages

DOCUMENTATION = r"""
module: node_doctor
short_description: What a node can say about whether a run could succeed on it
description:
  - Reads only. Who listens on which port, free space and memory, versions of programs, whether systemd runs, the clock.
  - With I(vrrp), sends and expects some packets of IP protocol 112 that belong to no virtual router.
options:
  vrrp:
    description: C(address) of this node, C(peers) (names to addresses) that send at the same time, C(seconds) to wait.
    type: dict
  reach:
    description: >-
      C(name) of this node, C(services), C(lbs), C(parents) and C(nodes): the connections that have to be possible are
      tried, in C(seconds) at most, while all nodes do so. Ports where nothing is set up yet are opened for that moment.
    type: dict
author: Nexus Ops contributors
"""

RETURN = r"""
report:
  description: >-
    C(systemd), C(listeners), C(space) and C(memory) in bytes, C(versions), C(apt) (who has its locks),
    C(heard) by peer, C(reach), C(listening), C(firewalls), C(clock).
  returned: always
  type: dict
"""


def main() -> None:
    """Run the module."""
    vrrp = {
        "address": {"type": "str", "required": True},
        "peers": {"type": "dict", "required": True},
        "seconds": {"type": "float", "default": 5.0},
    }
    connections = {
        "name": {"type": "str", "required": True},
        "services": {"type": "dict", "default": {}},
        "lbs": {"type": "dict", "default": {}},
        "parents": {"type": "dict", "default": {}},
        "nodes": {"type": "list", "elements": "str", "default": []},
        "seconds": {"type": "float", "default": 5.0},
    }
    module = AnsibleModule(
        argument_spec={
            "vrrp": {"type": "dict", "options": vrrp},
            "reach": {"type": "dict", "options": connections},
        },
        supports_check_mode=True,
    )
    listeners = ports.listeners()
    with ThreadPoolExecutor() as pool:  # at once: the other nodes do not wait
        exploring = pool.submit(_explore, module.params["reach"], listeners)
        report = _examine(module.params["vrrp"], listeners)
        report.update(exploring.result())
    report["clock"] = time.time()  # last: the controller compares it with the time when this arrives
    module.exit_json(changed=False, report=report)


def _explore(wanted: dict[str, Any] | None, listeners: list[ports.Listener]) -> dict[str, Any]:
    if not wanted:
        return {}
    all_ways = reach.ways(wanted["services"], wanted["lbs"], wanted["parents"], wanted["nodes"])
    busy = {int(str(listener["port"])) for listener in listeners if listener["protocol"] == "tcp"}
    return {
        **reach.explore(wanted["name"], all_ways, busy, wanted["seconds"]),
        "firewalls": firewalls.dropping_chains(),
    }


def _examine(wanted: dict[str, Any] | None, listeners: list[ports.Listener]) -> dict[str, Any]:
    report: dict[str, Any] = {
        "systemd": facts.has_systemd(),
        "listeners": listeners,
        "space": facts.free_space(),
        "memory": facts.available_memory(),
        "versions": facts.versions(),
        "apt": packages.busy(),
    }
    if wanted:
        try:
            report["heard"] = probe(wanted["address"], wanted["peers"], wanted["seconds"])
        except OSError as error:
            report["probe"] = str(error.strerror or error)
    return report


if __name__ == "__main__":
    main()
