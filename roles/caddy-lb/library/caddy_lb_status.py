#!/usr/bin/python
"""Ansible module: what a load balancer serves, and how it is. Reads only."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.caddy_lb.asking import doubts, failures, front_problems
from ansible.module_utils.caddy_lb.routing import read_routing, upstreams_of
from ansible.module_utils.node_state import StateError, units
from ansible.module_utils.node_state.commands import checked

DOCUMENTATION = r"""
module: caddy_lb_status
short_description: What a load balancer serves, and how it is
description:
  - Reads only. Says whether Caddy and keepalived run, whether this machine holds the floating IP, and of each upstream
    of each service whether it can be sent requests from here.
options:
  virtual_ip:
    description: The floating IP, with or without its prefix length; empty for none.
    type: str
    default: ""
  tls:
    description: As caddy_lb_tls.
    type: str
    default: "off"
"""

RETURN = r"""
report:
  description: >-
    C(lb), with C(holds_virtual_ip), C(units), C(problem), C(routing), C(upstreams): by service and worker the
    reason why it gets no requests, or nothing, and C(front): by service why clients get no good answer, or nothing.
  returned: always
  type: dict
"""


def describe(virtual_ip: str, tls: str) -> dict[str, Any]:
    """Return the report."""
    routing = read_routing()
    names = ["caddy.service", *(["keepalived.service"] if virtual_ip else [])]
    states = {name: unit.state for name, unit in units.show(names).items()}
    problem, failed = "", {}
    try:
        failed = failures()
    except OSError as error:
        problem = f"Caddy does not answer: {error.strerror or error}"
    upstreams = {name: upstreams_of(service) for name, service in routing.items()}
    found = doubts([upstream for of_service in upstreams.values() for upstream in of_service], failed)
    return {
        "holds_virtual_ip": bool(virtual_ip) and _has(virtual_ip),
        "units": states,
        "problem": problem,
        "routing": routing,
        "front": {} if problem else front_problems(routing, tls),
        "upstreams": {
            name: {upstream.worker: found[upstream] for upstream in of_service}
            for name, of_service in upstreams.items()
        },
    }


def _has(virtual_ip: str) -> bool:
    wanted = ipaddress.ip_interface(virtual_ip).ip
    known = json.loads(checked(["ip", "-json", "address", "show"]))
    return any(ipaddress.ip_address(info["local"]) == wanted for link in known for info in link.get("addr_info", []))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"virtual_ip": {"type": "str", "default": ""}, "tls": {"type": "str", "default": "off"}},
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, report={"lb": describe(**module.params)})
    except StateError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
