#!/usr/bin/python
"""Ansible module: what a node can say about whether a run could succeed on it. Reads only."""

from __future__ import annotations

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.node_doctor import facts, ports
from ansible.module_utils.node_doctor.vrrp import probe

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
author: Nexus Ops contributors
"""

RETURN = r"""
report:
  description: C(systemd), C(listeners), C(space) and C(memory) in bytes, C(versions), C(heard) by peer, C(clock).
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
    module = AnsibleModule(argument_spec={"vrrp": {"type": "dict", "options": vrrp}}, supports_check_mode=True)
    report = {
        "systemd": facts.has_systemd(),
        "listeners": ports.listeners(),
        "space": facts.free_space(),
        "memory": facts.available_memory(),
        "versions": facts.versions(),
    }
    wanted = module.params["vrrp"]
    if wanted:
        try:
            report["heard"] = probe(wanted["address"], wanted["peers"], wanted["seconds"])
        except OSError as error:
            report["probe"] = f"{error.strerror}"
    report["clock"] = time.time()  # last: the controller compares it with the time when this arrives
    module.exit_json(changed=False, report=report)


if __name__ == "__main__":
    main()
