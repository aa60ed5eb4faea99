#!/usr/bin/python
"""Ansible module: what a node can say about its monitoring. Reads only."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.netdata_status.sender import describe_sender, probe_parents
from ansible.module_utils.netdata_status.view import ask_parent

RECORDED = "/var/cache/netdata"

DOCUMENTATION = r"""
module: netdata_status
short_description: What a node can say about its monitoring
description:
  - Reads only. Says whether Netdata runs on this node and, if not, why, and where its stream is connected.
  - Of a parent (I(nodes)) also its view of all nodes; of a sender (I(parents)) whether each would take its stream.
  - The node's own key is read on the node and never returned.
options:
  nodes:
    description: Names of the nodes that the parent on this machine is asked about; none when it is no parent.
    type: list
    elements: str
    default: []
  parents:
    description: Addresses of the parents to try from here, by name.
    type: dict
    default: {}
  guids:
    description: The parents' own GUIDs by name, as far as they are known; without one the key is not tried.
    type: dict
    default: {}
  configuration:
    description: Netdata's folder of configuration.
    type: path
    default: /etc/netdata
"""

RETURN = r"""
report:
  description: C(view) and C(free) bytes (a parent's), C(sender), C(probes) by parent.
  returned: always
  type: dict
"""


def free_space() -> dict[str, int]:
    """Return under `free` the bytes that Netdata can still write of what it records; nothing before it ever did."""
    try:
        system = os.statvfs(RECORDED)
    except OSError:
        return {}
    return {"free": system.f_bavail * system.f_frsize}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "list", "elements": "str", "default": []},
            "parents": {"type": "dict", "default": {}},
            "guids": {"type": "dict", "default": {}},
            "configuration": {"type": "path", "default": "/etc/netdata"},
        },
        supports_check_mode=True,
    )
    configuration = Path(module.params["configuration"])
    report = {"sender": describe_sender(configuration)}
    if module.params["nodes"]:
        report["view"] = ask_parent(module.params["nodes"])
        report.update(free_space())
    if module.params["parents"]:
        report["probes"] = probe_parents(module.params["parents"], module.params["guids"], configuration)
    module.exit_json(changed=False, report=report)


if __name__ == "__main__":
    main()
